//! Characters of a pattern and sets of them. Patterns and messages are bytes: journalctl does not ask for UTF.

use super::{BACKSLASH_AT_END, NOT_SUPPORTED, Scan};

const UNCLOSED_CLASS: &str = "missing terminating ] for character class";
const INVALID_RANGE: &str = "invalid range in character class";
const NO_COLLATION: &str = "POSIX collating elements are not supported";
const TOO_LARGE: &str = "character code point value in \\x{} or \\o{} is too large";

/// A set of bytes, a bit for each.
#[derive(Clone, Copy)]
pub(super) struct Set([u128; 2]);

impl Set {
    fn of(is_member: impl Fn(u8) -> bool) -> Self {
        let mut set = Self([0; 2]);
        for byte in (0..=u8::MAX).filter(|byte| is_member(*byte)) {
            set.insert(byte);
        }
        set
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 7)] |= 1 << (byte & 0x7f);
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 7)] >> (byte & 0x7f) & 1 == 1
    }

    /// All bytes.
    pub(super) fn all() -> Self {
        Self([u128::MAX; 2])
    }

    /// The set of an escape, if it is one: `\d`, `\D`…
    pub(super) fn of_escape(letter: u8) -> Option<Self> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => Self::of(|b| b.is_ascii_digit()),
            b'w' => Self::of(|b| b.is_ascii_alphanumeric() || b == b'_'),
            b's' => Self::of(is_space),
            b'h' => Self::of(|b| matches!(b, b'\t' | b' ' | 0xa0)),
            b'v' => Self::of(|b| matches!(b, b'\n'..=b'\r' | 0x85)),
            _ => return None,
        };
        Some(if letter.is_ascii_uppercase() { set.inverted() } else { set })
    }

    /// The set of a POSIX class.
    fn of_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"alpha" => Self::of(|b| b.is_ascii_alphabetic()),
            b"lower" => Self::of(|b| b.is_ascii_lowercase()),
            b"upper" => Self::of(|b| b.is_ascii_uppercase()),
            b"alnum" => Self::of(|b| b.is_ascii_alphanumeric()),
            b"ascii" => Self::of(|b| b.is_ascii()),
            b"blank" => Self::of(|b| matches!(b, b'\t' | b' ')),
            b"cntrl" => Self::of(|b| b.is_ascii_control()),
            b"digit" => Self::of(|b| b.is_ascii_digit()),
            b"graph" => Self::of(|b| b.is_ascii_graphic()),
            b"print" => Self::of(|b| b.is_ascii_graphic() || b == b' '),
            b"punct" => Self::of(|b| b.is_ascii_punctuation()),
            b"space" => Self::of(is_space),
            b"word" => Self::of(|b| b.is_ascii_alphanumeric() || b == b'_'),
            b"xdigit" => Self::of(|b| b.is_ascii_hexdigit()),
            _ => return None,
        })
    }

    fn inverted(self) -> Self {
        Self(self.0.map(|half| !half))
    }

    fn add(&mut self, other: &Self) {
        for (half, other) in self.0.iter_mut().zip(other.0) {
            *half |= other;
        }
    }

    fn add_range(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|byte| self.insert(byte));
    }

    /// The set as the engine has it. Regardless of case, what is not in a set is found after its members of the other
    /// case have been added: that is why `negated` is left to the engine.
    pub(super) fn write(&self, negated: bool, out: &mut String) {
        out.push_str(if negated { "[^" } else { "[" });
        let mut from = None;
        for byte in 0..=u8::MAX {
            match (self.contains(byte), from) {
                (true, None) => from = Some(byte),
                (false, Some(start)) => {
                    out.push_str(&format!("\\x{start:02x}-\\x{:02x}", byte - 1));
                    from = None;
                }
                _ => {}
            }
        }
        if let Some(start) = from {
            out.push_str(&format!("\\x{start:02x}-\\xff"));
        }
        out.push(']');
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// A member of a class.
enum Member {
    Byte(u8),
    Set(Set),
    /// `\E`.
    Nothing,
}

impl<'a> Scan<'a> {
    /// An escape that stands for one character, after its letter.
    pub(super) fn character(&mut self, letter: u8) -> Result<u8, &'static str> {
        Ok(match letter {
            b'a' => 0x07,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'c' => match self.next().ok_or("\\c at end of pattern")? {
                c @ b' '..=b'~' => c.to_ascii_uppercase() ^ 0x40,
                _ => return Err("\\c must be followed by a printable ASCII character"),
            },
            b'x' if self.take(b"{") => {
                self.code(16, "non-hex character in \\x{} (closing brace missing?)", u8::is_ascii_hexdigit)?
            }
            b'x' => self.digits(2, 16, u8::is_ascii_hexdigit)?,
            b'o' if self.take(b"{") => {
                self.code(8, "non-octal character in \\o{} (closing brace missing?)", |b| matches!(b, b'0'..=b'7'))?
            }
            b'o' => return Err("missing opening brace after \\o"),
            b'0' => self.octal(2)?,
            b'F' | b'L' | b'l' | b'U' | b'u' => return Err(NOT_SUPPORTED),
            letter if letter.is_ascii_alphanumeric() => return Err("unrecognized character follows \\"),
            other => other,
        })
    }

    /// Octal digits, no more than `most`.
    pub(super) fn octal(&mut self, most: usize) -> Result<u8, &'static str> {
        self.digits(most, 8, |b| matches!(b, b'0'..=b'7'))
    }

    fn digits(&mut self, most: usize, radix: u32, is_digit: impl Fn(&u8) -> bool) -> Result<u8, &'static str> {
        let mut code = 0;
        for _ in 0..most {
            let Some(digit) = self.rest.first().filter(|byte| is_digit(byte)) else { break };
            code = code * radix + char::from(*digit).to_digit(radix).unwrap_or(0);
            self.rest = &self.rest[1..];
        }
        u8::try_from(code).map_err(|_| "octal value is greater than \\377 in 8-bit non-UTF-8 mode")
    }

    /// What stands in the braces of `\x{41}`.
    fn code(&mut self, radix: u32, wrong: &'static str, is_digit: fn(&u8) -> bool) -> Result<u8, &'static str> {
        if self.rest.first().is_none_or(|byte| *byte == b'}') {
            return Err("digits missing in \\x{} or \\o{} or \\N{U+}");
        }
        let mut code = 0_u32;
        while let Some(digit) = self.rest.first().filter(|byte| is_digit(byte)) {
            code = code * radix + char::from(*digit).to_digit(radix).unwrap_or(0);
            if code > 0xff {
                return Err(TOO_LARGE);
            }
            self.rest = &self.rest[1..];
        }
        if !self.take(b"}") {
            return Err(wrong);
        }
        u8::try_from(code).map_err(|_| TOO_LARGE)
    }

    /// A character class, after its bracket.
    pub(super) fn class(&mut self) -> Result<(), &'static str> {
        if let Some((mark, _, _)) = self.posix_name() {
            return Err(if mark == b':' {
                "POSIX named classes are supported only within a class"
            } else {
                NO_COLLATION
            });
        }
        while self.take(b"\\E") || self.take(b"\\Q\\E") {}
        let negated = self.take(b"^");
        while self.take(b"\\E") || self.take(b"\\Q\\E") {}
        let mut set = Set::of(|_| false);
        let mut first = true;
        let mut quoted = false;
        // What a hyphen after it makes the beginning of a range; and the beginning of a range.
        let mut before: Option<u8> = None;
        let mut open: Option<u8> = None;
        loop {
            let c = self.next().ok_or(UNCLOSED_CLASS)?;
            if quoted {
                if c == b'\\' && self.take(b"E") {
                    quoted = false;
                    continue;
                }
            } else if c == b']' && !first {
                if open.is_some() {
                    set.add_range(b'-', b'-');
                }
                set.write(negated, &mut self.out);
                return Ok(());
            } else if c == b'\\' && self.take(b"Q") {
                quoted = true;
                continue;
            } else if c == b'-' && before.is_some() {
                open = before.take();
                continue;
            }
            first = false;
            let member = if quoted { Member::Byte(c) } else { self.member(c)? };
            match (member, open.take()) {
                (Member::Nothing, was_open) => open = was_open,
                (Member::Byte(to), Some(from)) if to < from => return Err("range out of order in character class"),
                (Member::Byte(to), Some(from)) => {
                    set.add_range(from, to);
                    before = None;
                }
                (Member::Byte(byte), None) => {
                    set.add_range(byte, byte);
                    before = Some(byte);
                }
                (Member::Set(_), Some(_)) => return Err(INVALID_RANGE),
                (Member::Set(other), None) => {
                    // Perl warns of a hyphen here, PCRE2 has no warnings.
                    if matches!(self.rest, [b'-', after, ..] if *after != b']') {
                        return Err(INVALID_RANGE);
                    }
                    set.add(&other);
                    before = None;
                }
            }
        }
    }

    /// What begins with a character in a class.
    fn member(&mut self, c: u8) -> Result<Member, &'static str> {
        match (c, self.rest.first()) {
            (b'[', _) => self.posix(),
            (b'\\', Some(b'0'..=b'7')) => self.octal(3).map(Member::Byte),
            (b'\\', _) => {
                let letter = self.next().ok_or(BACKSLASH_AT_END)?;
                Ok(match letter {
                    b'E' => Member::Nothing,
                    b'b' => Member::Byte(0x08),
                    // There is nothing here that they could refer to.
                    b'8' | b'9' | b'g' => Member::Byte(letter),
                    b'N' => {
                        self.no_name()?;
                        return Err("\\N is not supported in a class");
                    }
                    b'A' | b'B' | b'C' | b'G' | b'K' | b'R' | b'X' | b'Z' | b'k' | b'z' => {
                        return Err("escape sequence is invalid in character class");
                    }
                    b'p' | b'P' => {
                        self.property()?;
                        Member::Set(Set::all())
                    }
                    letter => match Set::of_escape(letter) {
                        Some(set) => Member::Set(set),
                        None => Member::Byte(self.character(letter)?),
                    },
                })
            }
            _ => Ok(Member::Byte(c)),
        }
    }

    /// `[:alpha:]`, after its bracket; or nothing but a bracket.
    fn posix(&mut self) -> Result<Member, &'static str> {
        let Some((mark, name, rest)) = self.posix_name() else { return Ok(Member::Byte(b'[')) };
        if mark != b':' {
            return Err(NO_COLLATION);
        }
        let positive = name.strip_prefix(b"^").unwrap_or(name);
        let set = Set::of_name(positive).ok_or("unknown POSIX class name")?;
        self.rest = rest;
        Ok(Member::Set(if positive.len() < name.len() { set.inverted() } else { set }))
    }

    /// The mark, the name, and what comes after, of what looks like a POSIX class.
    fn posix_name(&self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (mark, inside) = self.rest.split_first().filter(|(mark, _)| matches!(mark, b':' | b'.' | b'='))?;
        // Up to another one, so that many beginnings are no long work.
        let ends = |pair: &[u8]| pair[0] == b']' || pair == [*mark, b']'] || pair == [b'[', *mark];
        let (name, after) = inside.split_at(inside.windows(2).position(ends)?);
        let rest = after.strip_prefix(&[*mark, b']'])?;
        Some((*mark, name, rest))
    }
}
