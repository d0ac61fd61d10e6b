//! The patterns of `--grep=`: Perl's, as pcre2pattern(3) has them. What is wrong with one is said in PCRE2's words; what is
//! right is put into the words of the engine here, which has no back references and does not look around.

use std::collections::HashSet;

/// Where a quantifier stands that has nothing to repeat.
const NOTHING_TO_REPEAT: &str = "quantifier does not follow a repeatable item";
const UNCLOSED_GROUP: &str = "missing closing parenthesis";
const UNCLOSED_CLASS: &str = "missing terminating ] for character class";
const NO_SUCH_GROUP: &str = "reference to non-existent subpattern";
const BACKSLASH_AT_END: &str = "\\ at end of pattern";

/// The largest number of repetitions.
const MOST_REPETITIONS: u32 = 65_535;

const POSIX_CLASSES: [&str; 14] = [
    "alpha", "lower", "upper", "alnum", "ascii", "blank", "cntrl", "digit", "graph", "print", "punct", "space", "word",
    "xdigit",
];

const VERBS: [&str; 8] = ["ACCEPT", "COMMIT", "F", "FAIL", "MARK", "PRUNE", "SKIP", "THEN"];

/// The pattern for the engine.
///
/// # Errors
///
/// What PCRE2 says of a pattern that it does not take.
pub(super) fn translate(pattern: &str, version: u32) -> Result<String, &'static str> {
    let mut scan = Scan {
        rest: pattern,
        out: String::with_capacity(pattern.len()),
        depth: 0,
        groups: 0,
        largest_reference: 0,
        names: HashSet::new(),
        // Those of PCRE2 10.43 on may leave out the least number.
        open_quantifiers: version >= 257,
    };
    scan.run()?;
    Ok(scan.out)
}

/// What an item is to a quantifier after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Repeatable,
    /// Nothing, an assertion, or a quantifier.
    Fixed,
}

struct Scan<'a> {
    rest: &'a str,
    out: String,
    depth: usize,
    groups: u32,
    largest_reference: u32,
    names: HashSet<&'a str>,
    open_quantifiers: bool,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        true
    }

    /// What comes up to a mark, which is taken too.
    fn until(&mut self, mark: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(mark)?;
        self.rest = after;
        Some(before)
    }

    fn literal(&mut self, text: &str) {
        self.out.push_str(&regex::escape(text));
    }

    fn run(&mut self) -> Result<(), &'static str> {
        let mut item = Item::Fixed;
        while let Some(c) = self.next() {
            item = match c {
                '\\' => self.escape(item)?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' if self.depth == 0 => return Err("unmatched closing parenthesis"),
                ')' => {
                    self.depth -= 1;
                    self.out.push(')');
                    Item::Repeatable
                }
                '*' | '+' | '?' if item == Item::Fixed => return Err(NOTHING_TO_REPEAT),
                '*' | '+' | '?' => {
                    self.out.push(c);
                    self.greed()
                }
                '{' => self.brace(item)?,
                '|' | '^' | '$' => {
                    self.out.push(c);
                    Item::Fixed
                }
                '.' => {
                    self.out.push(c);
                    Item::Repeatable
                }
                c => {
                    self.literal(c.encode_utf8(&mut [0; 4]));
                    Item::Repeatable
                }
            };
        }
        if self.depth > 0 {
            Err(UNCLOSED_GROUP)
        } else if self.largest_reference > self.groups {
            Err(NO_SUCH_GROUP)
        } else {
            Ok(())
        }
    }

    /// What follows a quantifier and belongs to it.
    fn greed(&mut self) -> Item {
        if self.take("?") {
            self.out.push('?');
        } else if self.take("+") {
            // It gives nothing back: where one engine looks for a match and the other does not is another matter.
        }
        Item::Fixed
    }

    /// `{2,3}`, or a brace that is nothing but one.
    fn brace(&mut self, item: Item) -> Result<Item, &'static str> {
        let Some((least, most, rest)) = self.repetitions() else {
            self.literal("{");
            return Ok(Item::Repeatable);
        };
        let number = |digits: &str| digits.parse::<u32>().ok().filter(|number| *number <= MOST_REPETITIONS);
        const TOO_BIG: &str = "number too big in {} quantifier";
        let least = if least.is_empty() { 0 } else { number(least).ok_or(TOO_BIG)? };
        let quantifier = match most {
            None => format!("{{{least}}}"),
            Some("") => format!("{{{least},}}"),
            Some(most) => {
                let most = number(most).ok_or(TOO_BIG)?;
                if most < least {
                    return Err("numbers out of order in {} quantifier");
                }
                format!("{{{least},{most}}}")
            }
        };
        if item == Item::Fixed {
            return Err(NOTHING_TO_REPEAT);
        }
        self.rest = rest;
        self.out.push_str(&quantifier);
        Ok(self.greed())
    }

    /// The digits of `2}`, `2,}` or `2,3}`, and what comes after it.
    fn repetitions(&self) -> Option<(&'a str, Option<&'a str>, &'a str)> {
        let digits = |text: &'a str| text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let (least, after) = digits(self.rest);
        let (most, after) = match after.strip_prefix(',') {
            Some(after) => {
                let (most, after) = digits(after);
                (Some(most), after)
            }
            None => (None, after),
        };
        let rest = after.strip_prefix('}')?;
        let has_least = !least.is_empty() || (self.open_quantifiers && most.is_some_and(|most| !most.is_empty()));
        has_least.then_some((least, most, rest))
    }

    /// What a backslash begins.
    fn escape(&mut self, before: Item) -> Result<Item, &'static str> {
        let c = self.next().ok_or(BACKSLASH_AT_END)?;
        match c {
            'Q' => {
                let text = self.until("\\E").unwrap_or_else(|| std::mem::take(&mut self.rest));
                self.literal(text);
                return Ok(if text.is_empty() { before } else { Item::Repeatable });
            }
            'E' => return Ok(before),
            'b' | 'B' | 'A' | 'z' => {
                self.out.extend(['\\', c]);
                return Ok(Item::Fixed);
            }
            'Z' => {
                self.out.push_str("\\z");
                return Ok(Item::Fixed);
            }
            'G' => return Ok(Item::Fixed),
            '1'..='9' => self.reference(c),
            'g' => match self.rest.chars().next() {
                Some('{' | '<' | '\'' | '0'..='9' | '+' | '-') => self.out.push_str("\\g"),
                _ => {
                    return Err(
                        "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain \
                                number",
                    );
                }
            },
            'k' => match self.rest.chars().next() {
                Some('{' | '<' | '\'') => self.out.push_str("\\k"),
                _ => return Err("\\k is not followed by a braced, angle-bracketed, or quoted name"),
            },
            _ => self.character(c)?,
        }
        Ok(Item::Repeatable)
    }

    /// `\1`; of more than one digit it can be a character.
    fn reference(&mut self, first: char) {
        let more = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if more == 0 {
            self.largest_reference = self.largest_reference.max(first.to_digit(10).unwrap_or(0));
        }
        self.out.push('\\');
        self.out.push(first);
    }

    /// An escape that stands for a character or a set of some.
    fn character(&mut self, c: char) -> Result<(), &'static str> {
        match c {
            'N' if self.rest.starts_with('{') && self.repetitions().is_none() => return Err(NOT_SUPPORTED),
            'F' | 'L' | 'l' | 'U' | 'u' => return Err(NOT_SUPPORTED),
            'c' => {
                let c = self.next().ok_or("\\c at end of pattern")?;
                self.out.push_str(&format!("\\x{{{:x}}}", u32::from(c.to_ascii_uppercase()) ^ 0x40));
            }
            'x' if self.rest.starts_with('{') => {
                let inside = &self.rest[1..];
                let (digits, after) = inside.split_at(inside.bytes().take_while(u8::is_ascii_hexdigit).count());
                let is_large = || u32::from_str_radix(digits, 16).map_or(!digits.is_empty(), |code| code > 0x10_ffff);
                if after.starts_with('}') && is_large() {
                    return Err("character code point value in \\x{} or \\o{} is too large");
                }
                self.out.push_str("\\x");
            }
            'e' => self.out.push_str("\\x1b"),
            'h' => self.out.push_str("[ \\t]"),
            'R' => self.out.push_str("(?:\\r\\n|\\n|\\v|\\f|\\r)"),
            'N' => self.out.push('.'),
            'a' | 'f' | 'n' | 'r' | 't' | 'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'x' | 'p' | 'P' | '0' => {
                self.out.extend(['\\', c]);
            }
            'v' => self.out.push_str("[\\n\\v\\f\\r]"),
            'H' | 'V' | 'X' | 'K' | 'C' | 'o' => self.out.extend(['\\', c]),
            c if c.is_ascii_alphanumeric() => return Err("unrecognized character follows \\"),
            c => self.literal(c.encode_utf8(&mut [0; 4])),
        }
        Ok(())
    }

    /// A character class, after its bracket.
    fn class(&mut self) -> Result<Item, &'static str> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        // The character that a hyphen after it would make the beginning of a range.
        let mut start: Option<char> = None;
        loop {
            let c = self.next().ok_or(UNCLOSED_CLASS)?;
            if c == ']' && !std::mem::take(&mut first) {
                self.out.push(']');
                return Ok(Item::Repeatable);
            }
            first = false;
            if c == '-'
                && let Some(from) = start.take()
                && !self.rest.starts_with(']')
            {
                self.out.push('-');
                let to = self.member().and_then(|member| member.ok_or("invalid range in character class"))?;
                if to < from {
                    return Err("range out of order in character class");
                }
                continue;
            }
            start = self.member_from(c)?;
        }
    }

    /// The next member of a class.
    fn member(&mut self) -> Result<Option<char>, &'static str> {
        let c = self.next().ok_or(UNCLOSED_CLASS)?;
        self.member_from(c)
    }

    /// A member of a class; `None` if it is a set of characters.
    fn member_from(&mut self, c: char) -> Result<Option<char>, &'static str> {
        match c {
            '[' if self.rest.starts_with(':') => {
                let inside = &self.rest[1..];
                let (negate, inside) = inside.strip_prefix('^').map_or(("", inside), |inside| ("^", inside));
                let (name, after) = inside.split_at(inside.bytes().take_while(u8::is_ascii_alphabetic).count());
                if let Some(rest) = after.strip_prefix(":]") {
                    if !POSIX_CLASSES.contains(&name) {
                        return Err("unknown POSIX class name");
                    }
                    self.out.push_str(&format!("[:{negate}{name}:]"));
                    self.rest = rest;
                    return Ok(None);
                }
                self.out.push_str("\\[");
                Ok(Some('['))
            }
            '\\' => {
                let c = self.next().ok_or(BACKSLASH_AT_END)?;
                match c {
                    'b' => self.out.push_str("\\x08"),
                    'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'h' | 'H' | 'v' | 'V' | 'p' | 'P' | 'N' | 'R' | 'X' => {
                        self.character(c)?;
                        return Ok(None);
                    }
                    _ => self.character(c)?,
                }
                Ok(match c {
                    'n' => Some('\n'),
                    't' => Some('\t'),
                    c if c.is_ascii_alphanumeric() => None,
                    c => Some(c),
                })
            }
            c => {
                self.literal(c.encode_utf8(&mut [0; 4]));
                Ok(Some(c))
            }
        }
    }

    /// A group, or something else that a parenthesis begins.
    fn open(&mut self) -> Result<Item, &'static str> {
        if let Some(verb) = self.rest.strip_prefix('*') {
            let name: &str = &verb[..verb.bytes().take_while(u8::is_ascii_uppercase).count()];
            if !name.is_empty() && !VERBS.contains(&name) {
                return Err("(*VERB) not recognized or malformed");
            }
        }
        if !self.take("?") {
            self.groups += 1;
            self.depth += 1;
            self.out.push('(');
            return Ok(Item::Fixed);
        }
        if self.take("#") {
            self.until(")").ok_or("missing ) after (?# comment")?;
            return Ok(Item::Fixed);
        }
        for (mark, end) in [("<=", ""), ("<!", ""), ("P<", ">"), ("<", ">"), ("'", "'")] {
            if !self.take(mark) {
                continue;
            }
            if end.is_empty() {
                self.out.push_str(&format!("(?{mark}"));
            } else {
                let name = self.name(end)?;
                self.out.push_str(&format!("(?P<{name}>"));
            }
            self.depth += 1;
            return Ok(Item::Fixed);
        }
        self.options()
    }

    /// The name of a group and the character that ends it.
    fn name(&mut self, end: &str) -> Result<&'a str, &'static str> {
        let length = self.rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, rest) = self.rest.split_at(length);
        if name.is_empty() {
            return Err("subpattern name expected");
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("subpattern name must start with a non-digit");
        }
        self.rest = rest.strip_prefix(end).ok_or("syntax error in subpattern name (missing terminator?)")?;
        self.groups += 1;
        if self.names.insert(name) {
            Ok(name)
        } else {
            Err("two named subpatterns have the same name (PCRE2_DUPNAMES not set)")
        }
    }

    /// What else follows `(?`.
    fn options(&mut self) -> Result<Item, &'static str> {
        self.out.push_str("(?");
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && self.rest[digits..].starts_with(')') {
            let number = self.rest[..digits].parse().unwrap_or(u32::MAX);
            self.largest_reference = self.largest_reference.max(number);
            self.out.push_str(&self.rest[..=digits]);
            self.rest = &self.rest[digits + 1..];
            return Ok(Item::Repeatable);
        }
        loop {
            match self.next() {
                None => return Err(UNCLOSED_GROUP),
                Some(')') => {
                    self.out.push(')');
                    return Ok(Item::Fixed);
                }
                Some(c @ (':' | '|' | '>' | '=' | '!' | '(' | '&' | 'R' | 'P' | '+')) => {
                    self.out.push(c);
                    self.depth += 1;
                    return Ok(Item::Fixed);
                }
                Some(c @ ('i' | 'm' | 's' | 'x' | 'n' | 'J' | 'U' | '^' | '-')) => self.out.push(c),
                Some(_) => return Err("unrecognized character after (? or (?-"),
            }
        }
    }
}

const NOT_SUPPORTED: &str = "PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u";
