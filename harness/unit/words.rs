//! The word splitter: blanks, quotes and escapes (systemd.syntax(7), "Quoting"; SPEC 1.3).

use super::Errno;
use super::number::BLANKS;

/// What the splitter does besides separating words at blanks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// Quotes group and disappear.
    pub unquote: bool,
    /// C escapes are decoded.
    pub unescape: bool,
    /// An escape that means nothing is kept, with its backslash.
    pub keep_unknown_escapes: bool,
    /// A backslash is an ordinary character.
    pub keep_backslashes: bool,
    /// A quote that is never closed ends with the text.
    pub relaxed: bool,
}

impl Syntax {
    /// `Exec…=` and `Environment=`.
    pub(crate) const COMMAND: Syntax =
        Syntax { unquote: true, unescape: true, keep_unknown_escapes: false, keep_backslashes: false, relaxed: false };
    /// The value of a `$VARIABLE` that is split at run time.
    pub(crate) const VARIABLE: Syntax =
        Syntax { unquote: true, unescape: false, keep_unknown_escapes: false, keep_backslashes: false, relaxed: true };
    /// Lists of names: only blanks separate.
    pub(crate) const NAMES: Syntax =
        Syntax { unquote: false, unescape: false, keep_unknown_escapes: false, keep_backslashes: true, relaxed: false };
    /// `Documentation=` and other lists of strings.
    pub(crate) const STRINGS: Syntax =
        Syntax { unquote: true, unescape: false, keep_unknown_escapes: false, keep_backslashes: true, relaxed: false };
    /// Lists without quotes in which a backslash takes the next character as it is.
    pub(crate) const PLAIN: Syntax = Syntax {
        unquote: false,
        unescape: false,
        keep_unknown_escapes: false,
        keep_backslashes: false,
        relaxed: false,
    };
    /// `PassEnvironment=`.
    pub(crate) const UNQUOTED: Syntax =
        Syntax { unquote: true, unescape: false, keep_unknown_escapes: false, keep_backslashes: false, relaxed: false };
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Takes the first word off `rest`; `None` at the end of the text.
///
/// # Errors
///
/// [`Errno::EINVAL`] for a quote that is not closed, an unknown escape, a backslash at the end. `rest` is then as it was.
pub(crate) fn first_word(rest: &mut &str, syntax: Syntax) -> Result<Option<String>, Errno> {
    let text = rest.trim_start_matches(BLANKS);
    if text.is_empty() {
        *rest = "";
        return Ok(None);
    }
    let bytes = text.as_bytes();
    let mut word = Vec::new();
    let mut quote: Option<u8> = None;
    let mut at = 0;
    loop {
        let Some(&byte) = bytes.get(at) else {
            if quote.is_some() && !syntax.relaxed {
                return Err(Errno::EINVAL);
            }
            break;
        };
        at += 1;
        match (byte, quote) {
            (b'\\', _) if !syntax.keep_backslashes => match bytes.get(at) {
                // A backslash as the very last character.
                None if syntax.keep_unknown_escapes && (quote.is_none() || syntax.relaxed) => word.push(b'\\'),
                None if syntax.relaxed => {}
                None => return Err(Errno::EINVAL),
                Some(&escaped) => {
                    if !syntax.unescape {
                        word.push(escaped);
                        at += 1;
                    } else if let Some((decoded, length)) = unescape(&text[at..]) {
                        decoded.push_to(&mut word);
                        at += length;
                    } else if syntax.keep_unknown_escapes {
                        word.extend([b'\\', escaped]);
                        at += 1;
                    } else {
                        return Err(Errno::EINVAL);
                    }
                }
            },
            (byte, Some(open)) if byte == open => quote = None,
            (byte, Some(_)) => word.push(byte),
            (b'\'' | b'"', None) if syntax.unquote => quote = Some(byte),
            (byte, None) if is_blank(byte) => break,
            (byte, None) => word.push(byte),
        }
    }
    *rest = text.get(at..).unwrap_or("").trim_start_matches(BLANKS);
    Ok(Some(lossy(word)))
}

/// All words of a text.
///
/// # Errors
///
/// As [`first_word`]; the words before the error are lost.
pub(crate) fn split(text: &str, syntax: Syntax) -> Result<Vec<String>, Errno> {
    let mut rest = text;
    let mut words = Vec::new();
    while let Some(word) = first_word(&mut rest, syntax)? {
        words.push(word);
    }
    Ok(words)
}

/// An escape may name any byte; the few that make no UTF-8 are shown as U+FFFD.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What an escape stands for.
enum Decoded {
    Byte(u8),
    Character(char),
}

impl Decoded {
    fn push_to(&self, word: &mut Vec<u8>) {
        match self {
            Decoded::Byte(byte) => word.push(*byte),
            Decoded::Character(c) => word.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Decodes what follows a backslash; also says how many bytes it took. NUL is never allowed.
fn unescape(text: &str) -> Option<(Decoded, usize)> {
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = text.get(from..from + count).filter(|digits| digits.chars().all(|c| c.is_digit(radix)))?;
        u32::from_str_radix(digits, radix).ok().filter(|value| *value != 0)
    };
    let unicode = |count: usize| {
        // A lone surrogate is no character; systemd would write it as it is.
        Some((Decoded::Character(char::from_u32(digits(1, count, 16)?)?), count + 1))
    };
    let byte = match text.as_bytes().first()? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'"' => b'"',
        b'\'' => b'\'',
        b's' => b' ',
        b'x' => return Some((Decoded::Byte(u8::try_from(digits(1, 2, 16)?).ok()?), 3)),
        b'u' => return unicode(4),
        b'U' => return unicode(8),
        b'0'..=b'7' => return Some((Decoded::Byte(u8::try_from(digits(0, 3, 8)?).ok()?), 3)),
        _ => return None,
    };
    Some((Decoded::Byte(byte), 1))
}
