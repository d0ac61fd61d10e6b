//! The first line of a fence: which block it opens, and with which attributes.

use std::ops::Range;

use crate::expect::{Diagnostic, is_unit_name, nearest};

/// What a fence opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    /// `toml scenario`
    Header,
    /// `toml program=NAME`
    Program(Attribute),
    /// `ini unit=NAME`
    Unit(Attribute),
    /// any word with `file=PATH`
    /// The file and whether the block is in the shell's language.
    File(Attribute, bool),
    /// `console`, with `at=` or `after=`
    Console(Option<Timing>),
    /// `expect`
    Expect,
}

/// When a console block runs, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    At(Attribute),
    After(Attribute),
}

impl Timing {
    /// Where the value stands.
    pub(super) fn span(&self) -> Range<usize> {
        match self {
            Timing::At(value) | Timing::After(value) => value.span.clone(),
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) value: String,
    pub(super) span: Range<usize>,
}

/// A word of the line: `name` or `name=value`.
struct Word {
    name: String,
    value: Option<Attribute>,
    span: Range<usize>,
}

type Result<T> = std::result::Result<T, Diagnostic>;

/// Languages that open a block with the attributes given.
const LANGUAGES: &[&str] = &["console", "expect"];
/// Attributes that belong to a block, with the language they go with.
const ATTRIBUTES: &[(&str, &str)] =
    &[("scenario", "toml"), ("program", "toml"), ("unit", "ini"), ("at", "console"), ("after", "console")];

/// What the line opens; `None` for a fence that is prose.
///
/// # Errors
///
/// A fence that is nearly one of ours, an attribute that nobody knows, a value that is missing.
pub(super) fn opens(text: &str, info: Range<usize>) -> Result<Option<Opens>> {
    let words = words(text, info)?;
    let Some((language, attributes)) = words.split_first() else { return Ok(None) };
    // An attribute needs a language before it: ```` ```file=/x ```` would otherwise be prose in silence.
    if language.value.is_some() && known_attribute(&language.name).is_some() {
        let wanted = known_attribute(&language.name).unwrap_or("sh");
        return Err(Diagnostic::new(
            language.span.clone(),
            "a block begins with a language",
            format!("expected `{wanted} {}=…`", language.name),
        ));
    }
    if language.name != "console" && language.name != "expect" && attributes.iter().any(|word| word.name == "file") {
        let shell = super::shell::is_language(&language.name);
        return file(attributes, shell).map(Some);
    }
    match language.name.as_str() {
        "toml" => toml(attributes),
        "ini" => ini(attributes),
        "console" => console(attributes).map(Some),
        "expect" => match attributes.first() {
            Some(word) => Err(unknown(word, &[], "an `expect` block takes no attribute")),
            None => Ok(Some(Opens::Expect)),
        },
        name => {
            if let Some(near) = nearest(name, LANGUAGES) {
                return Err(Diagnostic::new(
                    language.span.clone(),
                    format!("`{name}` is no block of a scenario"),
                    format!("did you mean `{near}`?"),
                )
                .help("a misspelt block would be skipped as prose; use another language if it is prose"));
            }
            for word in attributes {
                if let Some((_, wanted)) = ATTRIBUTES.iter().find(|(known, _)| *known == word.name)
                    && (word.value.is_some() || word.name == "scenario")
                {
                    return Err(Diagnostic::new(
                        language.span.clone(),
                        format!("`{}` goes with another language", word.name),
                        format!("expected `{wanted}`"),
                    ));
                }
            }
            Ok(None)
        }
    }
}

fn known_attribute(name: &str) -> Option<&'static str> {
    if name == "file" {
        return Some("sh");
    }
    ATTRIBUTES.iter().find(|(known, _)| *known == name).map(|(_, language)| *language)
}

fn toml(attributes: &[Word]) -> Result<Option<Opens>> {
    let Some((first, more)) = attributes.split_first() else { return Ok(None) };
    let opens = match (first.name.as_str(), &first.value) {
        ("scenario", None) => Opens::Header,
        ("scenario", Some(value)) => {
            return Err(Diagnostic::new(value.span.clone(), "`scenario` takes no value", "expected ```toml scenario"));
        }
        ("program", Some(value)) => Opens::Program(value.clone()),
        ("program", None) => return Err(missing(first, "NAME")),
        _ => return Err(unknown(first, &["scenario", "program"], "expected `scenario` or `program=NAME`")),
    };
    match more.first() {
        Some(word) => Err(unknown(word, &[], "this block takes no other attribute")),
        None => Ok(Some(opens)),
    }
}

fn ini(attributes: &[Word]) -> Result<Option<Opens>> {
    let Some((first, more)) = attributes.split_first() else { return Ok(None) };
    let name = match (first.name.as_str(), &first.value) {
        ("unit", Some(value)) => value.clone(),
        ("unit", None) => return Err(missing(first, "NAME.service")),
        _ => return Err(unknown(first, &["unit"], "expected `unit=NAME.service`")),
    };
    if !is_unit_file(&name.value) {
        return Err(Diagnostic::new(
            name.span,
            format!("`{}` is not the name of a unit file", name.value),
            "expected `NAME.service`, `NAME.socket`, … or a drop-in `NAME.service.d/NAME.conf`",
        ));
    }
    match more.first() {
        Some(word) => Err(unknown(word, &[], "a unit takes no other attribute")),
        None => Ok(Some(Opens::Unit(name))),
    }
}

/// `x.service`, or a drop-in below `x.service.d/`.
fn is_unit_file(name: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && !part.contains('/') && part != "." && part != "..";
    match name.split_once('/') {
        None => is_unit_name(name),
        Some((directory, file)) => {
            directory
                .strip_suffix(".d")
                .is_some_and(|unit| is_unit_name(unit) || crate::expect::UNIT_TYPES.contains(&unit))
                && is_plain(file)
                && file.len() > ".conf".len()
                && file.ends_with(".conf")
        }
    }
}

fn file(attributes: &[Word], shell: bool) -> Result<Opens> {
    let mut path = None;
    for word in attributes {
        match (word.name.as_str(), &word.value) {
            ("file", Some(value)) if path.is_none() => path = Some(value.clone()),
            ("file", Some(_)) => return Err(unknown(word, &[], "`file` is given twice")),
            ("file", None) => return Err(missing(word, "/ABSOLUTE/PATH")),
            _ => return Err(unknown(word, &["file"], "a file takes no other attribute")),
        }
    }
    let Some(path) = path else {
        return Err(Diagnostic::new(0..0, "a file has no path", "expected `file=/ABSOLUTE/PATH`"));
    };
    if !is_clean_path(&path.value) {
        return Err(Diagnostic::new(
            path.span,
            format!("`{}` is not the absolute path of a file", path.value),
            "expected a path from `/` on, without `.` and `..`",
        ));
    }
    Ok(Opens::File(path, shell))
}

/// Whether a path is absolute, names something below `/`, and has no empty, `.` or `..` part.
pub(super) fn is_clean_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        !rest.is_empty() && rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    }) && !path.contains('\0')
}

fn console(attributes: &[Word]) -> Result<Opens> {
    let mut timing: Option<Timing> = None;
    for word in attributes {
        let next = match (word.name.as_str(), &word.value) {
            ("at", Some(value)) => Timing::At(value.clone()),
            ("after", Some(value)) => Timing::After(value.clone()),
            ("at", None) => return Err(missing(word, "HH:MM:SS")),
            ("after", None) => return Err(missing(word, "SPAN")),
            _ => return Err(unknown(word, &["at", "after"], "expected `at=TIME` or `after=SPAN`")),
        };
        if timing.is_some() {
            return Err(unknown(
                word,
                &[],
                "a console block runs at one time: expected one `at=TIME` or one `after=SPAN`",
            ));
        }
        timing = Some(next);
    }
    Ok(Opens::Console(timing))
}

fn missing(word: &Word, value: &str) -> Diagnostic {
    Diagnostic::new(
        word.span.clone(),
        format!("`{}` needs a value", word.name),
        format!("expected `{}={value}`", word.name),
    )
}

fn unknown(word: &Word, known: &[&str], expected: &str) -> Diagnostic {
    let error = Diagnostic::new(word.span.clone(), format!("unexpected attribute `{}`", word.name), expected);
    match nearest(&word.name, known) {
        Some(near) if near != word.name => error.help(format!("did you mean `{near}`?")),
        _ => error,
    }
}

/// The words of the line; a value may stand in double quotes.
fn words(text: &str, info: Range<usize>) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    let mut at = info.start;
    let line = text.get(..info.end).unwrap_or_default();
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        let rest = &rest[blank..];
        if rest.is_empty() {
            return Ok(words);
        }
        let name_length = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let name = rest[..name_length].to_owned();
        let start = at;
        at += name_length;
        let mut value = None;
        if let Some(after) = rest[name_length..].strip_prefix('=') {
            at += 1;
            let (length, skip) = match after.strip_prefix('"') {
                Some(quoted) => match quoted.find('"') {
                    Some(length) => (length, 1),
                    None => {
                        return Err(Diagnostic::new(
                            at..info.end,
                            "the value is not closed",
                            "expected a closing `\"`",
                        ));
                    }
                },
                None => (after.find(char::is_whitespace).unwrap_or(after.len()), 0),
            };
            let span = at + skip..at + skip + length;
            if length == 0 {
                return Err(Diagnostic::new(
                    start..at,
                    format!("`{name}` needs a value"),
                    format!("expected `{name}=…`"),
                ));
            }
            value =
                Some(Attribute { value: line.get(span.clone()).unwrap_or_default().to_owned(), span: span.clone() });
            at = span.end + skip;
        }
        words.push(Word { name, value, span: start..at });
    }
}
