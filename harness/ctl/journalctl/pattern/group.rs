//! Groups of a pattern, what else a parenthesis begins, and what refers to groups.

use super::{DEEPEST, Item, NO_BACK_REFERENCES, NO_SUCH_GROUP, Scan, UNCLOSED_GROUP, number};

const NO_LOOK_AROUND: &str = "look-around, including look-ahead and look-behind, is not supported";
const NO_ATOMIC_GROUPS: &str = "atomic groups are not supported";
const NO_CONDITIONS: &str = "conditional groups are not supported";
const NO_RECURSION: &str = "recursion is not supported";
const NO_VERBS: &str = "verbs are not supported";

const NAME_EXPECTED: &str = "subpattern name expected";
const UNKNOWN_OPTION: &str = "unrecognized character after (? or (?-";
const INVALID_HYPHEN: &str = "invalid hyphen in option setting";
const BAD_VERB: &str = "(*VERB) not recognized or malformed";

const VERBS: [&[u8]; 9] = [b"", b"ACCEPT", b"COMMIT", b"F", b"FAIL", b"MARK", b"PRUNE", b"SKIP", b"THEN"];

impl<'a> Scan<'a> {
    /// A group, or something else that a parenthesis begins.
    pub(super) fn open(&mut self, before: Item) -> Result<Item, &'static str> {
        if matches!(self.rest, [b'*', after, ..] if *after != b')') {
            return self.verb();
        }
        if !self.take(b"?") {
            self.groups += u32::from(!self.flags.plain);
            return self.group();
        }
        match self.rest {
            [b'#', ..] => {
                self.until(b")").ok_or("missing ) after (?# comment")?;
                return Ok(before);
            }
            [b':' | b'|', ..] => {
                self.next();
                return self.group();
            }
            [b'>', ..] => {
                self.next();
                self.lacks(NO_ATOMIC_GROUPS);
                return self.group();
            }
            [b'=' | b'!' | b'*', ..] | [b'<', b'=' | b'!' | b'*', ..] => {
                self.rest = self.rest.strip_prefix(b"<").unwrap_or(self.rest);
                self.next();
                self.lacks(NO_LOOK_AROUND);
                return self.group();
            }
            [b'(', ..] => {
                self.lacks(NO_CONDITIONS);
                match self.rest {
                    [_, b'*', ..] | [_, b'?', b'=' | b'!' | b'*' | b'C', ..] => {}
                    [_, b'?', b'<', b'=' | b'!' | b'*', ..] => {}
                    [_, b'?', ..] => return Err("assertion expected after (?( or (?(?C)"),
                    _ => drop(self.until(b")").ok_or(UNCLOSED_GROUP)?),
                }
                return self.group();
            }
            _ => {}
        }
        for (mark, end) in [(&b"P<"[..], &b">"[..]), (b"<", b">"), (b"'", b"'")] {
            if self.take(mark) {
                let name = self.name(end)?;
                self.groups += 1;
                if !self.names.insert(name) {
                    return Err("two named subpatterns have the same name (PCRE2_DUPNAMES not set)");
                }
                return self.group();
            }
        }
        self.call().unwrap_or_else(|| self.options())
    }

    fn group(&mut self) -> Result<Item, &'static str> {
        if self.outer.len() >= DEEPEST {
            return Err("parentheses are too deeply nested");
        }
        self.outer.push(self.flags);
        self.out.push_str("(?:");
        Ok(Item::Fixed)
    }

    pub(super) fn close(&mut self) -> Result<Item, &'static str> {
        self.flags = self.outer.pop().ok_or("unmatched closing parenthesis")?;
        self.out.push(')');
        Ok(Item::Repeatable)
    }

    /// The name of a group and what ends it.
    fn name(&mut self, end: &[u8]) -> Result<&'a [u8], &'static str> {
        if self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Err("subpattern name must start with a non-digit");
        }
        let name = self.while_is(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if name.is_empty() {
            Err(NAME_EXPECTED)
        } else if self.take(end) {
            Ok(name)
        } else {
            Err("syntax error in subpattern name (missing terminator?)")
        }
    }

    /// A number with or without a sign, which counts from here; `None` if there is none.
    fn group_number(&mut self) -> Result<Option<u32>, &'static str> {
        let sign = self.rest.first().copied().filter(|byte| matches!(byte, b'+' | b'-'));
        let digits = &self.rest[usize::from(sign.is_some())..];
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return Ok(None);
        }
        self.rest = &digits[length..];
        let count = number(&digits[..length], 65_535).ok_or("number is too big")?;
        let group = match sign {
            Some(_) if count == 0 => return Err("(?+ or (?- or (?(+ or (?(- must be followed by a non-zero digit")?,
            Some(b'-') => (self.groups + 1).checked_sub(count).filter(|group| *group > 0).ok_or(NO_SUCH_GROUP)?,
            Some(_) => self.groups.saturating_add(count),
            None => count,
        };
        Ok(Some(group))
    }

    /// What `\g` or `\k` refers to.
    pub(super) fn reference(&mut self, letter: u8) -> Result<(), &'static str> {
        const NOTHING: &str =
            "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number";
        let end: &[u8] = match (letter, self.rest.first()) {
            (_, Some(b'{')) => b"}",
            (_, Some(b'<')) => b">",
            (_, Some(b'\'')) => b"'",
            (b'k', _) => return Err("\\k is not followed by a braced, angle-bracketed, or quoted name"),
            _ => b"",
        };
        self.lacks(if letter == b'g' && matches!(end, b">" | b"'") { NO_RECURSION } else { NO_BACK_REFERENCES });
        if !end.is_empty() {
            self.next();
        }
        if letter == b'g' {
            if let Some(group) = self.group_number()? {
                if group == 0 && matches!(end, b"" | b"}") {
                    return Err(NO_SUCH_GROUP);
                }
                self.largest_reference = self.largest_reference.max(group);
                return if self.take(end) { Ok(()) } else { Err(NOTHING) };
            }
            if end.is_empty() {
                return Err(NOTHING);
            }
        }
        let name = self.name(end)?;
        self.referred.push(name);
        Ok(())
    }

    /// `(?R)`, `(?1)`, `(?&name)`, `(?P>name)`, `(?P=name)` or `(?C1)`, if it is one.
    fn call(&mut self) -> Option<Result<Item, &'static str>> {
        let named = |scan: &mut Self, lacking| {
            scan.lacks(lacking);
            let name = scan.name(b")")?;
            scan.referred.push(name);
            Ok(Item::Repeatable)
        };
        match self.rest {
            [b'P', b'>', rest @ ..] | [b'&', rest @ ..] => {
                self.rest = rest;
                Some(named(self, NO_RECURSION))
            }
            [b'P', b'=', rest @ ..] => {
                self.rest = rest;
                Some(named(self, NO_BACK_REFERENCES))
            }
            [b'P'] => Some(Err(UNCLOSED_GROUP)),
            [b'P', ..] => Some(Err("unrecognized character after (?P")),
            [b'R', rest @ ..] => {
                self.rest = rest;
                self.lacks(NO_RECURSION);
                let closed = self.take(b")");
                Some(
                    closed
                        .then_some(Item::Repeatable)
                        .ok_or("(?R (recursive pattern call) must be followed by a closing parenthesis"),
                )
            }
            [b'C', rest @ ..] => {
                self.rest = rest;
                let digits = self.while_is(u8::is_ascii_digit);
                Some(if !digits.is_empty() && number(digits, 255).is_none() {
                    Err("number after (?C is greater than 255")
                } else if self.take(b")") {
                    Ok(Item::Fixed)
                } else {
                    Err(if self.rest.is_empty() { UNCLOSED_GROUP } else { "closing parenthesis for (?C expected" })
                })
            }
            [b'+', ..] | [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => Some(self.numbered_call()),
            _ => None,
        }
    }

    fn numbered_call(&mut self) -> Result<Item, &'static str> {
        let group = self.group_number()?.ok_or("digit expected after (?+ or (?-")?;
        self.lacks(NO_RECURSION);
        self.largest_reference = self.largest_reference.max(group);
        if self.take(b")") { Ok(Item::Repeatable) } else { Err(UNCLOSED_GROUP) }
    }

    /// What else follows `(?`: options for the rest of the group, or for one that begins here.
    fn options(&mut self) -> Result<Item, &'static str> {
        const ENGINE: [char; 3] = ['i', 'm', 's'];
        let mut engine = [None; ENGINE.len()];
        let mut flags = self.flags;
        let caret = self.take(b"^");
        if caret {
            engine = [Some(false); ENGINE.len()];
            flags = super::Flags::default();
        }
        let mut on = true;
        let ends = loop {
            match self.next().ok_or(UNCLOSED_GROUP)? {
                b'-' if caret || !on => return Err(INVALID_HYPHEN),
                b'-' => on = false,
                b'i' => engine[0] = Some(on),
                b'm' => (engine[1], flags.multiline) = (Some(on), on),
                b's' => engine[2] = Some(on),
                b'x' => flags.extended = on,
                b'n' => flags.plain = on,
                b'J' | b'U' => {}
                end @ (b')' | b':') => break end,
                _ => return Err(UNKNOWN_OPTION),
            }
        };
        let letters = |wanted| ENGINE.iter().zip(engine).filter(move |(_, on)| *on == Some(wanted)).map(|(c, _)| *c);
        let (set, unset): (String, String) = (letters(true).collect(), letters(false).collect());
        let hyphen = if unset.is_empty() { "" } else { "-" };
        if ends == b':' {
            let item = self.group()?;
            // The group is the engine's too.
            self.out.truncate(self.out.len() - ":".len());
            self.out.push_str(&format!("{set}{hyphen}{unset}:"));
            self.flags = flags;
            return Ok(item);
        }
        if !(set.is_empty() && unset.is_empty()) {
            self.out.push_str(&format!("(?{set}{hyphen}{unset})"));
        }
        self.flags = flags;
        Ok(Item::Fixed)
    }

    /// `(*FAIL)`, and the assertions that are spelled out.
    fn verb(&mut self) -> Result<Item, &'static str> {
        self.next();
        let name = self.while_is(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        if name.first().is_some_and(u8::is_ascii_lowercase) {
            const ASSERTIONS: [&str; 17] = [
                "pla",
                "plb",
                "nla",
                "nlb",
                "napla",
                "naplb",
                "positive_lookahead",
                "positive_lookbehind",
                "negative_lookahead",
                "negative_lookbehind",
                "non_atomic_positive_lookahead",
                "non_atomic_positive_lookbehind",
                "atomic",
                "sr",
                "asr",
                "script_run",
                "atomic_script_run",
            ];
            if !ASSERTIONS.iter().any(|known| known.as_bytes() == name) || !self.take(b":") {
                return Err("(*alpha_assertion) not recognized");
            }
            self.lacks(NO_LOOK_AROUND);
            return self.group();
        }
        if !VERBS.contains(&name) {
            return Err(BAD_VERB);
        }
        let argument = if self.take(b":") { Some(self.until(b")").ok_or(BAD_VERB)?) } else { None };
        if argument.is_none() && !self.take(b")") {
            return Err(BAD_VERB);
        }
        if matches!(name, b"" | b"MARK") && argument.is_none_or(<[u8]>::is_empty) {
            return Err("(*MARK) must have an argument");
        }
        self.lacks(NO_VERBS);
        Ok(Item::Fixed)
    }
}
