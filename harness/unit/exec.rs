//! `Exec…=` lines (systemd.service(5), "Command Lines"; SPEC 1.3).

use super::Errno;
use super::number::BLANKS;
use super::path;
use super::read::{Draft, Place, Stop};
use super::specifier::Scope;
use super::words::{self, Syntax};
use super::{ExecCommand, Profile};

impl Draft<'_> {
    /// Reads one `Exec…=` line into `list`; an empty one clears it.
    pub(super) fn exec(&mut self, at: &Place<'_>, list: &mut Vec<ExecCommand>) -> Result<(), Stop> {
        if at.value.is_empty() {
            list.clear();
            return Ok(());
        }
        let mut rest = at.value;
        // What messages show: the line from the current command on.
        let mut shown = at.value;
        loop {
            // An unbalanced quote in the first word drops the line but does no harm to the unit (SPEC 15).
            let Ok(Some(first)) = self.exec_word(at, &mut rest, shown) else { return Ok(()) };
            if first == ";" {
                continue;
            }
            let (mut command, separate, program) = prefixes(&first, self.profile);
            let ignore = command.ignore_failure;
            if let Err((errno, text)) = self.exec_program(&mut command, program, shown) {
                return self.exec_refused(at, ignore, errno, text);
            }
            if !separate {
                command.argv.push(command.path.clone());
            }
            command.path = path::simplify(&command.path);
            let mut another = false;
            while !rest.is_empty() {
                if let Some(after) = alone(rest, ";") {
                    rest = after;
                    another = true;
                    break;
                }
                if let Some(after) = alone(rest, "\\;") {
                    command.argv.push(";".into());
                    rest = after;
                    continue;
                }
                let word = match self.exec_word(at, &mut rest, shown) {
                    Ok(Some(word)) => word,
                    Ok(None) => break,
                    Err(_) if ignore => return Ok(()),
                    Err(_) => return Err(Stop::BadSetting),
                };
                match self.expand(&word, Scope::Full) {
                    Ok(word) => command.argv.push(word),
                    Err(errno) => {
                        let quote = if self.profile >= Profile::V257 { "'" } else { "" };
                        let ignoring = if ignore { ", ignoring" } else { "" };
                        let text =
                            format!("Failed to resolve unit specifiers in {quote}{word}{quote}{ignoring}: {errno}");
                        return self.exec_refused(at, ignore, Some(errno), text);
                    }
                }
            }
            if command.argv.is_empty() {
                let ignoring = if ignore { ", ignoring" } else { "" };
                let text = format!("Empty executable name or zeroeth argument{ignoring}: {shown}");
                return self.exec_refused(at, ignore, None, text);
            }
            list.push(command);
            shown = rest;
            if !another {
                return Ok(());
            }
        }
    }

    fn exec_refused(&mut self, at: &Place<'_>, ignore: bool, errno: Option<Errno>, text: String) -> Result<(), Stop> {
        let priority = if ignore { 4 } else { 3 };
        match errno {
            Some(errno) => self.log_errno(at, priority, errno, text),
            None => self.log(at, priority, text),
        }
        if ignore { Ok(()) } else { Err(Stop::BadSetting) }
    }

    /// Checks the program's name and puts it into the command.
    fn exec_program(
        &self,
        command: &mut ExecCommand,
        program: &str,
        shown: &str,
    ) -> Result<(), (Option<Errno>, String)> {
        let new = self.profile >= Profile::V257;
        let ignoring = if command.ignore_failure { ", ignoring" } else { "" };
        let path = self.expand(program, Scope::Full).map_err(|errno| {
            (Some(errno), format!("Failed to resolve unit specifiers in '{program}'{ignoring}: {errno}"))
        })?;
        let refused = |text: String| Err((None, text));
        let quote = if new { "" } else { "'" };
        if path.is_empty() {
            return refused(format!("Empty path in command line{ignoring}: {quote}{shown}{quote}"));
        }
        if !path::is_safe(&path) {
            let what = if new { "path" } else { "name" };
            return refused(format!("Executable {what} contains special characters{ignoring}: {path}"));
        }
        let dots = matches!(path.rsplit('/').next(), Some("." | ".."));
        if path.ends_with('/') || (new && dots) {
            return refused(format!("Executable path specifies a directory{ignoring}: {path}"));
        }
        if !(if path.starts_with('/') { path::is_valid(&path) } else { path::is_file_name(&path) }) {
            return refused(format!("Neither a valid executable name nor an absolute path{ignoring}: {path}"));
        }
        command.path = path;
        Ok(())
    }

    /// One word, with systemd's second try that keeps unknown escapes.
    fn exec_word(&mut self, at: &Place<'_>, rest: &mut &str, shown: &str) -> Result<Option<String>, Errno> {
        let unknown = match words::first_word(rest, Syntax::COMMAND) {
            Ok(word) => return Ok(word),
            Err(errno) => errno,
        };
        let relaxed = Syntax { keep_unknown_escapes: true, ..Syntax::COMMAND };
        match words::first_word(rest, relaxed) {
            Ok(word) => {
                let text = format!("Ignoring unknown escape sequences: \"{}\"", word.as_deref().unwrap_or_default());
                self.log_errno(at, 4, unknown, text);
                Ok(word)
            }
            Err(errno) => {
                self.log_errno(at, 3, errno, format!("Unbalanced quoting, ignoring: \"{shown}\""));
                Err(errno)
            }
        }
    }
}

/// What follows `token` if the text starts with it as a word of its own.
fn alone<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    let after = text.strip_prefix(token)?;
    (after.is_empty() || after.starts_with(BLANKS)).then(|| after.trim_start_matches(BLANKS))
}

/// Takes the prefixes off a program: what they set, whether the next word is `argv[0]`, and the rest.
fn prefixes(word: &str, profile: Profile) -> (ExecCommand, bool, &str) {
    let mut command = ExecCommand::default();
    let mut separate = false;
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        match c {
            '-' if !command.ignore_failure => command.ignore_failure = true,
            '@' if !separate => separate = true,
            ':' if !command.no_env_expand => command.no_env_expand = true,
            '+' if command.privileges.is_empty() => command.privileges = "+",
            '!' if command.privileges.is_empty() => command.privileges = "!",
            '!' if command.privileges == "!" => command.privileges = "!!",
            '|' if !command.via_shell && profile >= Profile::V260 => command.via_shell = true,
            _ => break,
        }
        rest = &rest[c.len_utf8()..];
    }
    (command, separate, rest)
}
