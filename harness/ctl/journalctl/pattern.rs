//! The patterns of `--grep=`: Perl's, as pcre2pattern(3) has them, of bytes. What is wrong with one is said in PCRE2's words;
//! what is right is put into the words of the engine here, which has no back references and does not look around.

mod class;
mod group;

use std::collections::HashSet;

use class::Set;
use regex::bytes::{Regex, RegexBuilder};

/// Where a quantifier stands that has nothing to repeat.
const NOTHING_TO_REPEAT: &str = "quantifier does not follow a repeatable item";
const UNCLOSED_GROUP: &str = "missing closing parenthesis";
const NO_SUCH_GROUP: &str = "reference to non-existent subpattern";
const BACKSLASH_AT_END: &str = "\\ at end of pattern";
const NOT_SUPPORTED: &str = "PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u";
const TOO_LARGE: &str = "regular expression is too large";

const NO_BACK_REFERENCES: &str = "backreferences are not supported";

/// The largest number of repetitions.
const MOST_REPETITIONS: u32 = 65_535;
/// How deep groups nest: PCRE2's default.
const DEEPEST: usize = 250;

/// Reads a pattern.
///
/// # Errors
///
/// What PCRE2 says of a pattern that it does not take, or what the engine here cannot do.
pub(super) fn compile(pattern: &str, version: u32, sensitive: bool) -> Result<Regex, String> {
    let translated = translate(pattern, version)?;
    let regex = RegexBuilder::new(&translated).unicode(false).case_insensitive(!sensitive).build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => TOO_LARGE.to_owned(),
        // The last line of the error says what is wrong, those before it draw the pattern.
        error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

fn translate(pattern: &str, version: u32) -> Result<String, &'static str> {
    let mut scan = Scan {
        rest: pattern.as_bytes(),
        out: String::with_capacity(pattern.len()),
        flags: Flags::default(),
        outer: Vec::new(),
        groups: 0,
        largest_reference: 0,
        names: HashSet::new(),
        referred: Vec::new(),
        // Those of PCRE2 10.43 on may leave out the least number.
        open_quantifiers: version >= 257,
        lacking: None,
    };
    scan.run()?;
    scan.lacking.map_or(Ok(scan.out), Err)
}

/// What an item is to a quantifier after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Repeatable,
    /// Nothing, an assertion, or a quantifier.
    Fixed,
}

/// The options that the engine is not told, or that change what is written for it.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// `x`: white space and comments are passed over.
    extended: bool,
    /// `m`: `$` stands before each newline.
    multiline: bool,
    /// `n`: plain parentheses do not count.
    plain: bool,
}

/// The digits of the least number and of the most, and what comes after the brace.
type Repetitions<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

struct Scan<'a> {
    rest: &'a [u8],
    out: String,
    flags: Flags,
    /// The options outside of each open group.
    outer: Vec<Flags>,
    groups: u32,
    largest_reference: u32,
    names: HashSet<&'a [u8]>,
    referred: Vec<&'a [u8]>,
    open_quantifiers: bool,
    /// What PCRE2 takes and the engine does not have: said only of a pattern that is right.
    lacking: Option<&'static str>,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, text: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        true
    }

    /// What comes first as long as it is of a kind; it is taken.
    fn while_is(&mut self, is_part: impl Fn(&u8) -> bool) -> &'a [u8] {
        let (part, rest) = self.rest.split_at(self.rest.iter().take_while(|byte| is_part(byte)).count());
        self.rest = rest;
        part
    }

    /// What comes up to a mark, which is taken too.
    fn until(&mut self, mark: &[u8]) -> Option<&'a [u8]> {
        let at = self.rest.windows(mark.len()).position(|window| window == mark)?;
        let before = &self.rest[..at];
        self.rest = &self.rest[at + mark.len()..];
        Some(before)
    }

    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            self.out.push_str(&format!("\\x{byte:02x}"));
        }
    }

    fn lacks(&mut self, what: &'static str) {
        self.lacking.get_or_insert(what);
    }

    fn run(&mut self) -> Result<(), &'static str> {
        let mut item = Item::Fixed;
        while let Some(c) = self.next() {
            item = match c {
                b'\\' => self.escape(item)?,
                b'[' => {
                    self.class()?;
                    Item::Repeatable
                }
                b'(' => self.open(item)?,
                b')' => self.close()?,
                b'*' | b'+' | b'?' if item == Item::Fixed => return Err(NOTHING_TO_REPEAT),
                b'*' | b'+' | b'?' => {
                    self.out.push(char::from(c));
                    self.greed()
                }
                b'{' => self.brace(item)?,
                b'|' | b'^' => {
                    self.out.push(char::from(c));
                    Item::Fixed
                }
                b'$' => {
                    self.out.push_str(if self.flags.multiline { "$" } else { "(?:\\n?\\z)" });
                    Item::Fixed
                }
                b'.' => {
                    self.out.push('.');
                    Item::Repeatable
                }
                b'\t'..=b'\r' | b' ' if self.flags.extended => item,
                b'#' if self.flags.extended => {
                    self.until(b"\n").unwrap_or_else(|| std::mem::take(&mut self.rest));
                    item
                }
                c => {
                    self.literal(c);
                    Item::Repeatable
                }
            };
        }
        if !self.outer.is_empty() {
            Err(UNCLOSED_GROUP)
        } else if self.largest_reference > self.groups || self.referred.iter().any(|name| !self.names.contains(name)) {
            Err(NO_SUCH_GROUP)
        } else {
            Ok(())
        }
    }

    /// What follows a quantifier and belongs to it.
    fn greed(&mut self) -> Item {
        if self.take(b"?") {
            self.out.push('?');
        } else if self.take(b"+") {
            // It gives nothing back: where one engine looks for a match and the other does not is another matter.
        }
        Item::Fixed
    }

    /// `{2,3}`, or a brace that is nothing but one.
    fn brace(&mut self, item: Item) -> Result<Item, &'static str> {
        const TOO_BIG: &str = "number too big in {} quantifier";
        let Some((least, most, rest)) = self.repetitions(self.rest) else {
            self.literal(b'{');
            return Ok(Item::Repeatable);
        };
        let least = if least.is_empty() { 0 } else { number(least, MOST_REPETITIONS).ok_or(TOO_BIG)? };
        let quantifier = match most {
            None => format!("{{{least}}}"),
            Some(b"") => format!("{{{least},}}"),
            Some(most) => {
                let most = number(most, MOST_REPETITIONS).ok_or(TOO_BIG)?;
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
    fn repetitions(&self, text: &'a [u8]) -> Option<Repetitions<'a>> {
        let digits = |text: &'a [u8]| text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
        let (least, after) = digits(text);
        let (most, after) = match after.strip_prefix(b",") {
            Some(after) => {
                let (most, after) = digits(after);
                (Some(most), after)
            }
            None => (None, after),
        };
        let rest = after.strip_prefix(b"}")?;
        let has_least = !least.is_empty() || (self.open_quantifiers && most.is_some_and(|most| !most.is_empty()));
        has_least.then_some((least, most, rest))
    }

    /// What a backslash begins.
    fn escape(&mut self, before: Item) -> Result<Item, &'static str> {
        let c = self.next().ok_or(BACKSLASH_AT_END)?;
        match c {
            b'Q' => {
                let text = self.until(b"\\E").unwrap_or_else(|| std::mem::take(&mut self.rest));
                for byte in text {
                    self.literal(*byte);
                }
                return Ok(if text.is_empty() { before } else { Item::Repeatable });
            }
            b'E' => return Ok(before),
            b'b' | b'B' | b'A' | b'z' | b'Z' | b'G' | b'K' => {
                self.out.push_str(match c {
                    b'b' => "\\b",
                    b'B' => "\\B",
                    b'z' => "\\z",
                    b'Z' => "(?:\\n?\\z)",
                    // The search goes on from the beginning.
                    b'A' | b'G' => "\\A",
                    // Where the match begins does not matter.
                    _ => "",
                });
                return Ok(Item::Fixed);
            }
            b'1'..=b'9' => self.number(c)?,
            b'g' | b'k' => self.reference(c)?,
            b'p' | b'P' => self.property()?,
            b'X' => self.lacks("\\X is not supported"),
            b'R' => self.out.push_str("(?:\\r\\n|[\\n-\\r\\x85])"),
            b'C' => Set::all().write(false, &mut self.out),
            b'N' => {
                self.no_name()?;
                self.out.push_str("[^\\n]");
            }
            letter => match Set::of_escape(letter) {
                Some(set) => set.write(false, &mut self.out),
                None => {
                    let byte = self.character(letter)?;
                    self.literal(byte);
                }
            },
        }
        Ok(Item::Repeatable)
    }

    /// Whether `\N` is not the beginning of `\N{…}`, which no pattern of bytes has.
    fn no_name(&self) -> Result<(), &'static str> {
        match self.rest.strip_prefix(b"{") {
            Some(inside) if inside.starts_with(b"U+") => Err("\\N{U+dddd} is supported only in Unicode (UTF) mode"),
            Some(inside) if self.repetitions(inside).is_none() => Err(NOT_SUPPORTED),
            _ => Ok(()),
        }
    }

    /// `\1`; of more than one digit it can be a character.
    fn number(&mut self, first: u8) -> Result<(), &'static str> {
        let rest = self.rest;
        let mut group = u32::from(first - b'0');
        for digit in self.while_is(u8::is_ascii_digit) {
            group = group.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
        }
        if group < 10 || first >= b'8' || group <= self.groups {
            self.largest_reference = self.largest_reference.max(group);
            self.lacks(NO_BACK_REFERENCES);
            return Ok(());
        }
        let digits = 1 + rest.iter().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        self.rest = &rest[digits - 1..];
        let octal = rest[..digits - 1].iter().fold(u32::from(first - b'0'), |code, d| code * 8 + u32::from(d - b'0'));
        let byte = u8::try_from(octal).map_err(|_| "octal value is greater than \\377 in 8-bit non-UTF-8 mode")?;
        self.literal(byte);
        Ok(())
    }

    /// `\p{Lu}`, after its letter.
    fn property(&mut self) -> Result<(), &'static str> {
        const MALFORMED: &str = "malformed \\P or \\p sequence";
        match self.next().ok_or(MALFORMED)? {
            b'{' => drop(self.until(b"}").ok_or(MALFORMED)?),
            letter if b"CLMNPSZ".contains(&letter.to_ascii_uppercase()) => {}
            letter if letter.is_ascii_alphabetic() => return Err("unknown property after \\P or \\p"),
            _ => return Err(MALFORMED),
        }
        self.lacks("Unicode properties are not supported");
        Ok(())
    }
}

/// A number of decimal digits, if it is not larger than a limit.
fn number(digits: &[u8], limit: u32) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|number| *number <= limit)
}
