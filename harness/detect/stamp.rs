//! Time stamps as logs begin with them: where they end, the moment they name, and how to print that.

use std::sync::Arc;

use jiff::civil::Date;

/// Microseconds of a second.
pub(super) const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// What a stamp leaves unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Nothing: its zone is this many minutes east of UTC.
    Zoned(i32),
    /// The zone.
    Local,
    /// The zone and the year; `micros` counts from the beginning of a leap year.
    Yearless,
    /// The month is a word of another language: `micros` counts the days of the month from 0 January, so to say.
    Monthless,
    /// The day.
    Clock,
    /// Everything but what has passed since the machine came up.
    Uptime,
}

/// A stamp at the beginning of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp<'a> {
    /// As it stands there.
    pub text: &'a str,
    /// Microseconds since 1970 (UTC, or local where the zone is not said), or as [`Scale`] says.
    pub micros: i64,
    pub scale: Scale,
    /// Whether it ends at the second.
    pub whole: bool,
    /// Whether a format of syslog or journalctl has such stamps, so that a host and an identifier may follow.
    pub syslog: bool,
}

/// A moment as it is reported: exactly, if year and zone are known, else as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Exact { micros: i64, offset: i32 },
    Text(Arc<str>),
}

impl Stamp<'_> {
    pub(super) fn moment(&self) -> Moment {
        match self.scale {
            Scale::Zoned(offset) => Moment::Exact { micros: self.micros, offset },
            _ => Moment::Text(self.text.into()),
        }
    }
}

impl std::fmt::Display for Moment {
    /// RFC 3339, with as many digits as there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Moment::Text(text) => f.write_str(text),
            Moment::Exact { micros, offset } => {
                let local = micros.saturating_add(i64::from(*offset) * MINUTE);
                let civil = jiff::Timestamp::from_microsecond(local)
                    .unwrap_or_default()
                    .to_zoned_datetime(jiff::tz::TimeZone::UTC);
                let civil = civil.datetime();
                write!(f, "{}T{:02}:{:02}:{:02}", civil.date(), civil.hour(), civil.minute(), civil.second())?;
                let fraction = local.rem_euclid(SECOND);
                if fraction != 0 {
                    let digits = format!("{fraction:06}");
                    write!(f, ".{}", digits.trim_end_matches('0'))?;
                }
                match offset {
                    0 => f.write_str("Z"),
                    minutes => {
                        let sign = if *minutes < 0 { '-' } else { '+' };
                        write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
                    }
                }
            }
        }
    }
}

/// A place in a line.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == byte).then(|| self.at += 1)
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let bytes = &self.text.as_bytes()[self.at..];
        let digits = bytes.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let value = bytes[..digits].iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        (digits >= least).then(|| {
            self.at += digits;
            value
        })
    }

    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        self.at += length;
        &rest[..length]
    }

    /// `HH:MM:SS` and a fraction: microseconds of the day, and whether there is no fraction.
    fn clock(&mut self) -> Option<(i64, bool)> {
        let hour = self.number(2, 2)?;
        self.eat(b':')?;
        let minute = self.number(2, 2)?;
        self.eat(b':')?;
        let second = self.number(2, 2)?;
        if hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        let whole = hour * HOUR + minute * MINUTE + second * SECOND;
        let fraction = self.fraction();
        Some((whole + fraction.unwrap_or(0), fraction.is_none()))
    }

    /// `.123` or `,123`, in microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let mut ahead = *self;
        if ahead.eat(b'.').or_else(|| ahead.eat(b',')).is_none() || !ahead.peek().is_ascii_digit() {
            return None;
        }
        let bytes = &ahead.text.as_bytes()[ahead.at..];
        let digits = bytes.iter().take(12).take_while(|byte| byte.is_ascii_digit()).count();
        let value = (0..6)
            .fold(0, |value, index| value * 10 + bytes[..digits].get(index).map_or(0, |digit| i64::from(digit - b'0')));
        self.at = ahead.at + digits;
        Some(value)
    }

    /// `Z`, `+01:00`, `+0100`, ` +0000`, ` UTC`, ` CET`: minutes east of UTC, none for the name of another zone.
    fn zone(&mut self, names: bool) -> Option<Option<i32>> {
        let mut ahead = *self;
        if ahead.eat(b'Z').is_some() && !ahead.peek().is_ascii_alphanumeric() {
            *self = ahead;
            return Some(Some(0));
        }
        let mut ahead = *self;
        let spaced = ahead.eat(b' ').is_some();
        let sign = match ahead.peek() {
            b'+' => 1,
            b'-' => -1,
            _ if spaced => {
                let name = ahead.word();
                let zone = match name {
                    "UTC" | "GMT" | "Z" => Some(0),
                    _ if names && (2..=5).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_uppercase()) => None,
                    _ => return None,
                };
                if !matches!(ahead.peek(), 0 | b' ' | b']' | b')' | b':' | b'\t') {
                    return None;
                }
                *self = ahead;
                return Some(zone);
            }
            _ => return None,
        };
        ahead.at += 1;
        let hours = ahead.number(2, 2)?;
        let colon = ahead.eat(b':').is_some();
        let minutes = ahead.number(2, 2).or((!colon).then_some(0))?;
        if hours > 15 || minutes > 59 || ahead.peek().is_ascii_digit() {
            return None;
        }
        *self = ahead;
        Some(i32::try_from(sign * (hours * 60 + minutes)).ok())
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn month(name: &str) -> Option<i64> {
    MONTHS.iter().position(|month| *month == name).map(|index| index as i64 + 1)
}

/// The year that stamps without one are counted from: a leap year, so that they have a 29 February.
pub(super) const NO_YEAR: i64 = 2000;

/// Midnight of a day.
fn day(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(i64::from(date.since(Date::constant(1970, 1, 1)).ok()?.get_days()) * DAY)
}

/// Midnight of 1 January.
pub(super) fn new_year(year: i64) -> i64 {
    day(year, 1, 1).unwrap_or_default()
}

/// Midnight of a day in a year that is not said.
fn yearless(month: i64, day_of: i64) -> Option<i64> {
    Some(day(NO_YEAR, month, day_of)? - new_year(NO_YEAR))
}

/// Reads the stamp that a text begins with, with what may be around it (`[…]`): the stamp, and the place behind it.
pub(super) fn read(text: &str) -> Option<(Stamp<'_>, usize)> {
    let mut cursor = Cursor { text, at: 0 };
    let close = match cursor.peek() {
        b'[' => b']',
        b'(' => b')',
        _ => 0,
    };
    if close != 0 {
        cursor.at += 1;
        if close == b']' {
            while cursor.peek() == b' ' {
                cursor.at += 1;
            }
        }
    }
    let begin = cursor.at;
    let (mut micros, mut scale, whole, syslog) = match cursor.peek() {
        b'0'..=b'9' => digits(&mut cursor, close != 0)?,
        b'A'..=b'Z' => words(&mut cursor)?,
        _ => return None,
    };
    if close != 0 {
        // Python and others put a level or a number behind the time, inside of the brackets.
        cursor.eat(close)?;
    } else if !matches!(cursor.peek(), 0 | b' ' | b'\t' | b':' | b'|' | b'-' | b'"' | b']' | b';' | b'>') {
        return None;
    }
    let end = if close != 0 { cursor.at - 1 } else { cursor.at };
    if let Scale::Zoned(offset) = scale {
        micros -= i64::from(offset) * MINUTE;
    }
    if scale == Scale::Uptime && close == 0 && !syslog {
        scale = Scale::Local;
    }
    Some((
        Stamp {
            text: &text[begin..end],
            micros,
            scale,
            whole,
            syslog: syslog && (close == 0 || scale == Scale::Uptime),
        },
        cursor.at,
    ))
}

/// Reads the stamp of a line that journalctl has printed in another language, `1月 16 12:28:18`: which month that is is
/// not known, and need not be.
pub(super) fn monthless(text: &str) -> Option<(Stamp<'_>, usize)> {
    const LONGEST: usize = 24;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b' ')?;
    let (month, mut cursor) = (&text[..end], Cursor { text, at: end + 1 });
    let _ = cursor.eat(b' ');
    let day_of = cursor.number(1, 2).filter(|day| (1..=31).contains(day))?;
    cursor.eat(b' ')?;
    let (clock, whole) = cursor.clock()?;
    let is_word = month.chars().all(|c| c.is_alphanumeric() || c == '.') && month.chars().any(char::is_alphabetic);
    let micros = day_of * DAY + clock;
    let stamp = Stamp { text: &text[..cursor.at], micros, scale: Scale::Monthless, whole, syslog: true };
    (is_word && cursor.peek() == b' ').then_some((stamp, cursor.at))
}

/// The day of the month that a moment is in.
pub(super) fn day_of_month(micros: i64) -> i64 {
    let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    i64::from(moment.to_zoned_datetime(jiff::tz::TimeZone::UTC).day())
}

/// Local microseconds, what is unsaid, whether it ends at the second, and whether syslog writes such stamps.
type Read = (i64, Scale, bool, bool);

fn digits(cursor: &mut Cursor<'_>, bracket: bool) -> Option<Read> {
    let start = *cursor;
    let first = cursor.number(1, 18)?;
    let length = cursor.at - start.at;
    match (length, cursor.peek()) {
        (4, separator @ (b'-' | b'/')) => {
            cursor.at += 1;
            let month = cursor.number(2, 2)?;
            cursor.eat(separator)?;
            let day_of = cursor.number(2, 2)?;
            let joint = cursor.peek();
            if !matches!(joint, b'T' | b' ' | b':' | b'_') {
                return None;
            }
            cursor.at += 1;
            let (clock, whole) = cursor.clock()?;
            let zone = cursor.zone(false);
            let scale = zone.flatten().map_or(Scale::Local, Scale::Zoned);
            Some((day(first, month, day_of)?.checked_add(clock)?, scale, whole, joint == b'T'))
        }
        // 16/Jan/2026:12:28:18 +0000
        (1 | 2, b'/') => {
            cursor.at += 1;
            let month = month(cursor.word())?;
            cursor.eat(b'/')?;
            let year = cursor.number(4, 4)?;
            cursor.eat(b':').or_else(|| cursor.eat(b' '))?;
            let (clock, whole) = cursor.clock()?;
            let scale = cursor.zone(false).flatten().map_or(Scale::Local, Scale::Zoned);
            Some((day(year, month, first)? + clock, scale, whole, false))
        }
        // 16 Jan 2026 12:28:18.101
        (1 | 2, b' ') => {
            cursor.at += 1;
            let month = month(cursor.word())?;
            cursor.eat(b' ')?;
            let mut ahead = *cursor;
            let year = ahead.number(4, 4).filter(|_| ahead.eat(b' ').is_some());
            if year.is_some() {
                *cursor = ahead;
            }
            let (clock, whole) = cursor.clock()?;
            let Some(year) = year else {
                return Some((yearless(month, first)? + clock, Scale::Yearless, whole, false));
            };
            let scale = cursor.zone(false).flatten().map_or(Scale::Local, Scale::Zoned);
            Some((day(year, month, first)? + clock, scale, whole, false))
        }
        (2, b':') => {
            *cursor = start;
            let (clock, whole) = cursor.clock()?;
            Some((clock, Scale::Clock, whole, false))
        }
        // `journalctl -o short-unix`, and what counts seconds since 1970 otherwise.
        (10, _) if (1_000_000_000..4_000_000_000).contains(&first) => {
            let fraction = cursor.fraction();
            Some((first * SECOND + fraction.unwrap_or(0), Scale::Zoned(0), fraction.is_none(), true))
        }
        // `journalctl -o short-monotonic`, dmesg.
        (1..=9, b'.') if bracket => {
            let fraction = cursor.fraction()?;
            Some((first * SECOND + fraction, Scale::Uptime, false, true))
        }
        _ => None,
    }
}

fn words(cursor: &mut Cursor<'_>) -> Option<Read> {
    let mut word = cursor.word();
    let weekday = DAYS.contains(&word);
    if weekday {
        let _ = cursor.eat(b',');
        cursor.eat(b' ')?;
        if cursor.peek().is_ascii_digit() {
            let year = cursor.number(4, 4)?;
            cursor.eat(b'-')?;
            let month = cursor.number(2, 2)?;
            cursor.eat(b'-')?;
            let day_of = cursor.number(2, 2)?;
            cursor.eat(b' ')?;
            let (clock, whole) = cursor.clock()?;
            let scale = cursor.zone(true).flatten().map_or(Scale::Local, Scale::Zoned);
            return Some((day(year, month, day_of)? + clock, scale, whole, true));
        }
        word = cursor.word();
    }
    let month = month(word)?;
    cursor.eat(b' ')?;
    let _ = cursor.eat(b' ');
    let day_of = cursor.number(1, 2)?;
    cursor.eat(b' ')?;
    let mut year = None;
    if !weekday && cursor.peek().is_ascii_digit() {
        let mut ahead = *cursor;
        if let Some(number) = ahead.number(4, 4)
            && ahead.eat(b' ').is_some()
        {
            year = Some(number);
            *cursor = ahead;
        }
    }
    let (clock, whole) = cursor.clock()?;
    if weekday && year.is_none() {
        let mut ahead = *cursor;
        if ahead.eat(b' ').is_some()
            && let Some(number) = ahead.number(4, 4)
        {
            year = Some(number);
            *cursor = ahead;
        }
    }
    match year {
        Some(year) => {
            let scale = cursor.zone(false).flatten().map_or(Scale::Local, Scale::Zoned);
            Some((day(year, month, day_of)? + clock, scale, whole, true))
        }
        None => Some((yearless(month, day_of)? + clock, Scale::Yearless, whole, true)),
    }
}
