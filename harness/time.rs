//! Incident time: integer newtypes and the time-span language of systemd.time(7).
//!
//! Everything is whole microseconds, as in systemd; there is no floating point. `Span::INFINITY` is
//! systemd's `infinity`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

const MICRO: u64 = 1;
const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 2_629_800 * SECOND;
const YEAR: u64 = 31_557_600 * SECOND;

/// A moment of the incident: microseconds since 1970-01-01 00:00:00 UTC, on the incident's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentTime(u64);

/// A length of incident time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl IncidentTime {
    /// The end of time: a deadline that never comes.
    pub const NEVER: IncidentTime = IncidentTime(u64::MAX);

    /// The moment that is `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time that passed since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: IncidentTime) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The first moment at or after this one that is `phase` past a multiple of `grid`, counted from `origin`.
    pub const fn ceil_to_grid(self, origin: IncidentTime, grid: Span, phase: Span) -> IncidentTime {
        if grid.0 == 0 || self.0 == u64::MAX {
            return self;
        }
        let start = origin.0 + phase.0 % grid.0;
        if self.0 <= start {
            // Before the first grid point after the origin the grid goes on backwards.
            let behind = (start - self.0) / grid.0;
            return IncidentTime(start - behind * grid.0);
        }
        let steps = (self.0 - start).div_ceil(grid.0);
        IncidentTime(start + steps * grid.0)
    }
}

impl Add<Span> for IncidentTime {
    type Output = IncidentTime;
    fn add(self, span: Span) -> IncidentTime {
        IncidentTime(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for IncidentTime {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for IncidentTime {
    type Output = IncidentTime;
    fn sub(self, span: Span) -> IncidentTime {
        IncidentTime(self.0.saturating_sub(span.0))
    }
}

/// Why a text is not a time span (systemd.time(7), "Parsing Time Spans").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Nothing but blanks.
    #[error("a time span is missing, expected one such as `10s`, `1min 30s` or `500ms`")]
    Empty,
    /// Not a number, or a number in a form that systemd does not take.
    #[error("not a time span, expected numbers with units such as `10s`, `1min 30s` or `500ms`")]
    Number,
    /// A number below zero, in systemd's words out of range; `-0` counts.
    #[error("a time span cannot be negative")]
    Negative,
    /// A unit that systemd does not know (units are case sensitive).
    #[error("unknown unit of time, expected one of us, ms, s, min, h, d, w, M, y")]
    Unit,
    /// More than 2^64 microseconds.
    #[error("the time span is too long")]
    Overflow,
}

/// Longest spelling first, so that a prefix never shadows a longer unit.
const UNITS: &[(&str, u64)] = &[
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", MINUTE),
    ("minute", MINUTE),
    ("min", MINUTE),
    ("months", MONTH),
    ("month", MONTH),
    ("M", MONTH),
    ("msec", MILLI),
    ("ms", MILLI),
    ("m", MINUTE),
    ("hours", HOUR),
    ("hour", HOUR),
    ("hr", HOUR),
    ("h", HOUR),
    ("days", DAY),
    ("day", DAY),
    ("d", DAY),
    ("weeks", WEEK),
    ("week", WEEK),
    ("w", WEEK),
    ("years", YEAR),
    ("year", YEAR),
    ("y", YEAR),
    ("usec", MICRO),
    ("us", MICRO),
    ("\u{b5}s", MICRO),
    ("\u{3bc}s", MICRO),
];

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// systemd's `infinity`.
    pub const INFINITY: Span = Span(u64::MAX);

    /// A span of `micros` microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * MILLI)
    }

    /// A span of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * SECOND)
    }

    /// The span in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whether this is `infinity`.
    pub const fn is_infinite(self) -> bool {
        self.0 == u64::MAX
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, at most `infinity`.
    #[must_use]
    pub const fn saturating_add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }

    /// The span times `factor`, at most `infinity`.
    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Span {
        Span(self.0.saturating_mul(factor))
    }

    /// Parses a span as systemd does where seconds are the default unit (systemd.time(7), "Parsing Time Spans").
    ///
    /// # Errors
    ///
    /// [`SpanError`] says what is wrong: no number, an unknown unit, an overflow.
    pub fn parse(text: &str) -> Result<Span, SpanError> {
        Self::parse_with_unit(text, Span(SECOND))
    }

    /// Parses a span in which a number without a unit counts `default_unit`.
    ///
    /// # Errors
    ///
    /// As [`Span::parse`].
    pub fn parse_with_unit(text: &str, default_unit: Span) -> Result<Span, SpanError> {
        const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];
        let mut rest = text.trim_start_matches(BLANK);
        if let Some(after) = rest.strip_prefix("infinity")
            && after.trim_start_matches(BLANK).is_empty()
        {
            return Ok(Span::INFINITY);
        }
        if rest.is_empty() {
            return Err(SpanError::Empty);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            if rest.starts_with('-') {
                return Err(SpanError::Negative);
            }
            rest = rest.strip_prefix('+').unwrap_or(rest);
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let whole: u64 = match &rest[..digits] {
                "" => 0,
                number => number.parse().map_err(|_| SpanError::Overflow)?,
            };
            rest = &rest[digits..];
            let mut fraction = "";
            if let Some(after) = rest.strip_prefix('.') {
                let count = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                if count == 0 {
                    return Err(SpanError::Number);
                }
                fraction = &after[..count];
                rest = &after[count..];
                if rest.starts_with('.') {
                    return Err(SpanError::Number);
                }
            } else if digits == 0 {
                return Err(SpanError::Number);
            }
            let joined = rest.len();
            rest = rest.trim_start_matches(BLANK);
            let apart = rest.len() < joined;
            let unit = match UNITS.iter().find(|(name, _)| rest.starts_with(name)) {
                Some((name, micros)) => {
                    rest = rest[name.len()..].trim_start_matches(BLANK);
                    *micros
                }
                None if rest.is_empty() => default_unit.0,
                // The next number, if a blank is between.
                None if apart && rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-')) => {
                    default_unit.0
                }
                None => return Err(SpanError::Unit),
            };
            let term = whole.checked_mul(unit).ok_or(SpanError::Overflow)?;
            total = total.checked_add(term).ok_or(SpanError::Overflow)?;
            // Digits below the resolution of a microsecond are cut off, one place at a time as systemd does.
            let mut place = unit / 10;
            for digit in fraction.bytes() {
                total = total.checked_add(u64::from(digit - b'0') * place).ok_or(SpanError::Overflow)?;
                place /= 10;
            }
        }
        if total == u64::MAX {
            return Err(SpanError::Overflow);
        }
        Ok(Span(total))
    }

    /// Formats the span as systemd does with the given accuracy (`1min 30s`, `4.400000s`, `infinity`).
    pub fn format(self, accuracy: Span) -> String {
        const TABLE: &[(&str, u64)] = &[
            ("y", YEAR),
            ("month", MONTH),
            ("w", WEEK),
            ("d", DAY),
            ("h", HOUR),
            ("min", MINUTE),
            ("s", SECOND),
            ("ms", MILLI),
            ("us", MICRO),
        ];
        if self.is_infinite() {
            return "infinity".into();
        }
        if self.0 == 0 {
            return "0".into();
        }
        let accuracy = accuracy.0.max(1);
        let mut out = String::new();
        let mut left = self.0;
        for &(name, unit) in TABLE {
            if left == 0 || (left < accuracy && !out.is_empty()) {
                break;
            }
            if left < unit {
                continue;
            }
            let count = left / unit;
            let below = left % unit;
            let blank = if out.is_empty() { "" } else { " " };
            // Below a minute systemd shows the rest in dot notation, as far as the accuracy reaches.
            if left < MINUTE && below > 0 {
                let mut places = 0usize;
                let mut step = unit;
                while step > 1 && step > accuracy {
                    places += 1;
                    step /= 10;
                }
                if places > 0 {
                    let scaled = below / step;
                    out.push_str(&format!("{blank}{count}.{scaled:0places$}{name}"));
                    left = 0;
                    continue;
                }
            }
            out.push_str(&format!("{blank}{count}{name}"));
            left = below;
        }
        out
    }
}

impl fmt::Display for Span {
    /// With microsecond accuracy, as `systemctl show` prints durations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(Span(1)))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        self.saturating_add(other)
    }
}

impl fmt::Display for IncidentTime {
    /// `2026-01-16 12:28:18.500000`, in UTC, the incident's only time zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.civil();
        write!(f, "{}.{:06}", civil.strftime("%Y-%m-%d %H:%M:%S"), self.0 % SECOND)
    }
}

impl IncidentTime {
    /// The civil date and time in UTC.
    pub fn civil(self) -> jiff::civil::DateTime {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(micros)
            .unwrap_or(jiff::Timestamp::MAX)
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .datetime()
    }

    /// The moment of a civil date and time in UTC; dates before 1970 are clamped to it.
    pub fn from_civil(civil: jiff::civil::DateTime) -> IncidentTime {
        let micros =
            civil.to_zoned_datetime(jiff::tz::TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_microsecond());
        IncidentTime(u64::try_from(micros).unwrap_or(0))
    }

    /// Formats with strftime directives, in UTC (`%Y-%m-%d %H:%M:%S` and so on); empty if one of them is none.
    pub fn strftime(self, format: &str) -> String {
        let zoned = self.civil().to_zoned_datetime(jiff::tz::TimeZone::UTC);
        // Not `Zoned::strftime`: what that returns panics when it is shown and a directive is none.
        zoned.and_then(|zoned| jiff::fmt::strtime::format(format, &zoned)).unwrap_or_default()
    }
}
