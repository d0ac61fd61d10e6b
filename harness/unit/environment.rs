//! Environment blocks: assignments, environment files, `$` expansion (systemd.exec(5), "Environment"; SPEC 1.3, 1.4).

use std::collections::{HashMap, HashSet};

use super::words::{self, Syntax};
use super::{Errno, ExecCommand};

/// Whether this can be the name of a variable: letters, digits and `_`, no digit first.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Splits `NAME=value`; `None` if the name is not valid or there is no `=`.
pub fn assignment(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| is_valid_name(name))
}

/// Where each variable stands in a block, so that setting one takes no search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(HashMap<String, usize>);

impl Places {
    /// Sets a variable of the block these places belong to.
    pub(crate) fn set(&mut self, block: &mut Vec<(String, String)>, name: &str, value: &str) {
        match self.0.get(name).and_then(|place| block.get_mut(*place)) {
            Some((_, old)) => value.clone_into(old),
            None => {
                self.0.insert(name.to_owned(), block.len());
                block.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// Forgets all, for a block that was emptied.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Sets a variable, in place if it was set before. Searches the block: for one variable, not for many.
pub fn set(block: &mut Vec<(String, String)>, name: &str, value: &str) {
    match block.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => block.push((name.to_owned(), value.to_owned())),
    }
}

/// The value of a variable; the last one wins.
pub fn get<'a>(block: &'a [(String, String)], name: &str) -> Option<&'a str> {
    block.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Why an environment file cannot be used at all: the load of the service fails with result `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// A key or a value is not UTF-8.
    #[error("Invalid argument")]
    Utf8,
    /// Larger than 4 MiB, systemd's limit for such files.
    #[error("Argument list too long")]
    TooBig,
    /// A NUL byte in the middle.
    #[error("Bad message")]
    Nul,
}

impl FileError {
    /// The error's number.
    pub const fn errno(self) -> Errno {
        match self {
            FileError::Utf8 => Errno::EINVAL,
            FileError::TooBig => Errno::E2BIG,
            FileError::Nul => Errno::EBADMSG,
        }
    }
}

/// What an environment file says, and what was wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// The valid assignments, in order; each name once, with its last value.
    pub variables: Vec<(String, String)>,
    /// Assignments that were ignored since their name is not one (`export A=1`): systemd logs
    /// `Ignoring invalid environment assignment 'WORD': PATH` for each.
    pub ignored: Vec<String>,
}

/// Reads an environment file, dropping what is not a valid assignment (`EnvironmentFile=`, systemd.exec(5)).
/// An unusable file gives nothing; [`read_environment_file`] tells the difference.
pub fn parse_environment_file(bytes: &[u8]) -> Vec<(String, String)> {
    read_environment_file(bytes).map(|file| file.variables).unwrap_or_default()
}

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeKey,
    Key,
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuotes,
    DoubleQuotes,
    DoubleQuotesEscape,
    Comment,
    CommentEscape,
}

/// Reads an environment file.
///
/// # Errors
///
/// [`FileError`] if the file is too big or not text.
pub fn read_environment_file(bytes: &[u8]) -> Result<EnvironmentFile, FileError> {
    const BIGGEST: usize = 4 * 1024 * 1024;
    if bytes.len() > BIGGEST {
        return Err(FileError::TooBig);
    }
    if bytes.contains(&0) {
        return Err(FileError::Nul);
    }
    let mut reader = Reader::default();
    let mut state = State::BeforeKey;
    for &byte in bytes {
        let newline = matches!(byte, b'\n' | b'\r');
        let blank = newline || matches!(byte, b' ' | b'\t');
        state = match state {
            State::BeforeKey => match byte {
                b'#' | b';' => State::Comment,
                _ if blank => State::BeforeKey,
                _ => {
                    reader.key.push(byte);
                    State::Key
                }
            },
            State::Key if newline => {
                // A line without `=` is no assignment, and no error.
                reader.key.clear();
                State::BeforeKey
            }
            State::Key if byte == b'=' => State::BeforeValue,
            State::Key => {
                reader.key.push(byte);
                State::Key
            }
            State::BeforeValue | State::Value if newline => {
                reader.finish(state == State::Value)?;
                State::BeforeKey
            }
            State::BeforeValue | State::Value if byte == b'\\' => {
                reader.solid = reader.value.len();
                State::ValueEscape
            }
            State::BeforeValue => match byte {
                b'\'' => State::SingleQuotes,
                b'"' => State::DoubleQuotes,
                _ if blank => State::BeforeValue,
                _ => reader.value_byte(byte, blank),
            },
            State::Value => reader.value_byte(byte, blank),
            State::ValueEscape if newline => State::Value,
            State::ValueEscape => {
                reader.value_byte(byte, false);
                State::Value
            }
            State::SingleQuotes | State::DoubleQuotes
                if byte == if state == State::SingleQuotes { b'\'' } else { b'"' } =>
            {
                State::BeforeValue
            }
            State::DoubleQuotes if byte == b'\\' => State::DoubleQuotesEscape,
            State::SingleQuotes | State::DoubleQuotes => {
                reader.value_byte(byte, false);
                state
            }
            State::DoubleQuotesEscape => {
                match byte {
                    b'"' | b'\\' | b'`' | b'$' => reader.value.push(byte),
                    b'\n' => {}
                    _ => reader.value.extend([b'\\', byte]),
                }
                reader.solid = reader.value.len();
                State::DoubleQuotes
            }
            State::Comment if newline => State::BeforeKey,
            State::Comment if byte == b'\\' => State::CommentEscape,
            State::Comment | State::CommentEscape => State::Comment,
        };
    }
    match state {
        State::BeforeKey | State::Key | State::Comment | State::CommentEscape => {}
        state => reader.finish(state == State::Value)?,
    }
    Ok(reader.file)
}

#[derive(Default)]
struct Reader {
    key: Vec<u8>,
    value: Vec<u8>,
    /// Length of the value without unquoted blanks at its end.
    solid: usize,
    places: Places,
    file: EnvironmentFile,
}

impl Reader {
    fn value_byte(&mut self, byte: u8, blank: bool) -> State {
        self.value.push(byte);
        if !blank {
            self.solid = self.value.len();
        }
        State::Value
    }

    fn finish(&mut self, strip: bool) -> Result<(), FileError> {
        let mut value = std::mem::take(&mut self.value);
        if strip {
            value.truncate(self.solid);
        }
        self.solid = 0;
        let key = String::from_utf8(std::mem::take(&mut self.key)).map_err(|_| FileError::Utf8)?;
        let value = String::from_utf8(value).map_err(|_| FileError::Utf8)?;
        let key = key.trim_end_matches([' ', '\t']);
        if is_valid_name(key) {
            self.places.set(&mut self.file.variables, key, &value);
        } else {
            self.file.ignored.push(format!("{key}={value}"));
        }
        Ok(())
    }
}

/// The argument vector a process gets: `$VAR` as a word of its own is split into words, `${VAR}` is replaced inside
/// words, `$$` is a dollar sign (systemd.service(5), "Command Lines").
pub fn expand<T: AsRef<str>>(command: &ExecCommand, env: &[(T, T)]) -> Vec<String> {
    expand_and_report(command, env).argv
}

/// An argument vector and the variables it asked for in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The arguments, `argv[0]` first.
    pub argv: Vec<String>,
    /// Names without a value, in order, each once. From 254 on systemd logs them:
    /// `Referenced but unset environment variable evaluates to an empty string: A, B`.
    pub unset: Vec<String>,
}

/// As [`expand`], and says which variables were not set.
pub fn expand_and_report<T: AsRef<str>>(command: &ExecCommand, env: &[(T, T)]) -> Expansion {
    if command.no_env_expand {
        return Expansion { argv: command.argv.clone(), unset: Vec::new() };
    }
    let mut expander = Expander {
        // The last assignment of a name wins.
        values: env.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect(),
        noted: HashSet::new(),
        unset: Vec::new(),
    };
    let mut argv = Vec::with_capacity(command.argv.len());
    for word in &command.argv {
        match word.strip_prefix('$') {
            Some(name) if !name.starts_with(['{', '$']) => {
                // The relaxed syntax knows no errors: a quote that is never closed ends with the value.
                let value = expander.value(name).map(|value| words::split(value, Syntax::VARIABLE));
                argv.extend(value.and_then(Result::ok).unwrap_or_default());
            }
            _ => argv.push(expander.inside(word)),
        }
    }
    Expansion { argv, unset: expander.unset }
}

/// Looks variables up and keeps a list of those in vain.
struct Expander<'a> {
    values: HashMap<&'a str, &'a str>,
    noted: HashSet<String>,
    unset: Vec<String>,
}

impl<'a> Expander<'a> {
    fn value(&mut self, name: &str) -> Option<&'a str> {
        let value = self.values.get(name).copied();
        if value.is_none() && is_valid_name(name) && self.noted.insert(name.to_owned()) {
            self.unset.push(name.to_owned());
        }
        value
    }

    /// Replaces `${NAME}` and `$$`. Anything else, `${A:-b}` too, stays as it is.
    fn inside(&mut self, word: &str) -> String {
        let mut out = String::with_capacity(word.len());
        let mut rest = word;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(name) = after.strip_prefix('{') {
                match name.find(['}', ':']) {
                    Some(end) if name.as_bytes().get(end) == Some(&b'}') => {
                        out.push_str(self.value(&name[..end]).unwrap_or_default());
                        rest = &name[end + 1..];
                    }
                    // `${A:` is not a reference: what follows is read as ordinary text again.
                    Some(end) => {
                        out.push_str("${");
                        out.push_str(&name[..=end]);
                        rest = &name[end + 1..];
                    }
                    None => {
                        out.push_str("${");
                        out.push_str(name);
                        rest = "";
                    }
                }
            } else {
                // The character after a lone `$` is taken with it.
                let length = after.chars().next().map_or(0, char::len_utf8);
                out.push('$');
                out.push_str(&after[..length]);
                rest = &after[length..];
            }
        }
        out.push_str(rest);
        out
    }
}
