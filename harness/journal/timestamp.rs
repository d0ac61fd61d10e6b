//! Points in time as systemd reads and writes them (systemd.time(7), "Parsing Timestamps"), in UTC.

use jiff::civil::{Date, Weekday};

use crate::time::{IncidentTime, Span};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 2_629_800 * SECOND;
const YEAR: u64 = 31_557_600 * SECOND;

/// Not a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp, expected one such as `2026-01-16 12:28:18`, `today`, `-5min` or `10min ago`")]
pub struct TimestampError;

/// Reads a timestamp. `now` is what `now`, `-5min`, `today` and a time without a date refer to.
///
/// # Errors
///
/// [`TimestampError`] if systemd would not take it either, or if it names a time zone other than UTC.
pub fn parse_timestamp(text: &str, now: IncidentTime) -> Result<IncidentTime, TimestampError> {
    let span = |text: &str| Span::parse(text).ok().filter(|s| !s.is_infinite()).ok_or(TimestampError);
    if text == "now" {
        return Ok(now);
    }
    if let Some(later) = text.strip_prefix('+') {
        return Ok(now + span(later)?);
    }
    if let Some(earlier) = text.strip_prefix('-') {
        return Ok(now - span(earlier)?);
    }
    if let Some(epoch) = text.strip_prefix('@') {
        return span(epoch).map(|since| IncidentTime::from_micros(since.as_micros()));
    }
    if let Some(before) = text.strip_suffix(" ago") {
        return Ok(now - span(before)?);
    }
    if let Some(after) = text.strip_suffix(" left") {
        return Ok(now + span(after)?);
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let today = now.civil().date();
    let midnight = |date: Date| Ok(IncidentTime::from_civil(date.at(0, 0, 0, 0)));
    match text {
        "today" => return midnight(today),
        "yesterday" => return midnight(today.yesterday().map_err(|_| TimestampError)?),
        "tomorrow" => return midnight(today.tomorrow().map_err(|_| TimestampError)?),
        _ => {}
    }
    let (weekday, text) = weekday_prefix(text);
    let (date, time) = match text.trim_start().split_once(|c: char| c.is_ascii_whitespace()) {
        Some((date, time)) => (parse_date(date)?, parse_time(time.trim_start())?),
        None if text.contains(':') => (civil_days(today), parse_time(text.trim_start())?),
        None => (parse_date(text.trim_start())?, 0),
    };
    let micros = date.checked_mul(DAY).and_then(|d| d.checked_add(time)).ok_or(TimestampError)?;
    let moment = IncidentTime::from_micros(micros);
    match weekday {
        Some(day) if moment.civil().weekday() != day => Err(TimestampError),
        _ => Ok(moment),
    }
}

fn weekday_prefix(text: &str) -> (Option<Weekday>, &str) {
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let Some((word, rest)) = text.split_once(' ') else { return (None, text) };
    let word = word.to_ascii_lowercase();
    match DAYS.iter().find(|(name, _)| word == *name || word == name[..3]) {
        Some((_, day)) => (Some(*day), rest),
        None => (None, text),
    }
}

/// A number of one to `digits` digits.
fn number(text: &str, digits: usize) -> Result<u64, TimestampError> {
    let valid = (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if valid { text.parse().map_err(|_| TimestampError) } else { Err(TimestampError) }
}

/// Days since the epoch of `YYYY-MM-DD` or `YY-MM-DD`. As mktime(3) does, a day that the month does not have falls
/// into the next month.
fn parse_date(text: &str) -> Result<u64, TimestampError> {
    let mut parts = text.splitn(3, '-');
    let mut next = || parts.next().ok_or(TimestampError);
    let (year, month, day) = (next()?, next()?, next()?);
    let year = match (year.len(), number(year, 4)?) {
        (1 | 2, short @ 0..=68) => 2000 + short,
        (1 | 2, short) => 1900 + short,
        (_, full) => full,
    };
    let (month, day) = (number(month, 2)?, number(day, 2)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(TimestampError);
    }
    let first = i16::try_from(year)
        .ok()
        .zip(i8::try_from(month).ok())
        .and_then(|(y, m)| Date::new(y, m, 1).ok())
        .ok_or(TimestampError)?;
    Ok(civil_days(first) + day - 1)
}

fn civil_days(date: Date) -> u64 {
    IncidentTime::from_civil(date.at(0, 0, 0, 0)).as_micros() / DAY
}

/// Microseconds since midnight of `HH:MM[:SS[.ffffff]]`.
fn parse_time(text: &str) -> Result<u64, TimestampError> {
    let mut parts = text.splitn(3, ':');
    let hours = number(parts.next().unwrap_or_default(), 2)?;
    let minutes = number(parts.next().ok_or(TimestampError)?, 2)?;
    let (seconds, micros) = match parts.next() {
        None => (0, 0),
        Some(text) => match text.split_once('.') {
            None => (number(text, 2)?, 0),
            Some((whole, fraction)) => {
                if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(TimestampError);
                }
                // The digit after the microseconds rounds them; those after it do not count.
                let mut digits = fraction.bytes().map(|digit| u64::from(digit - b'0')).chain(std::iter::repeat(0));
                let micros = digits.by_ref().take(6).fold(0, |sum, digit| sum * 10 + digit);
                let round = u64::from(digits.next().is_some_and(|digit| digit >= 5));
                (number(whole, 2)?, micros + round)
            }
        },
    };
    // As strptime(3), which leaves room for two leap seconds; they run into the next minute.
    if hours > 23 || minutes > 59 || seconds > 61 {
        return Err(TimestampError);
    }
    Ok(hours * HOUR + minutes * MINUTE + seconds * SECOND + micros)
}

/// `Mon 2026-11-23 16:43:29 UTC`.
pub fn format_timestamp(moment: IncidentTime) -> String {
    moment.strftime("%a %Y-%m-%d %H:%M:%S UTC")
}

/// `883ms ago`, `1min 3s ago`, `4h 52min left`: how far `moment` is from `now`, as coarse as systemd says it.
pub fn format_relative(moment: IncidentTime, now: IncidentTime) -> String {
    let (apart, side) = if moment > now { (moment.since(now), "left") } else { (now.since(moment), "ago") };
    let d = apart.as_micros();
    let plural = |n: u64, one: &str| if n == 1 { format!("{n} {one}") } else { format!("{n} {one}s") };
    match d {
        YEAR.. => {
            let (years, months) = (d / YEAR, d % YEAR / MONTH);
            format!("{} {} {side}", plural(years, "year"), plural(months, "month"))
        }
        MONTH.. => {
            let (months, days) = (d / MONTH, d % MONTH / DAY);
            format!("{} {} {side}", plural(months, "month"), plural(days, "day"))
        }
        WEEK.. => {
            let (weeks, days) = (d / WEEK, d % WEEK / DAY);
            format!("{} {} {side}", plural(weeks, "week"), plural(days, "day"))
        }
        _ if d >= 2 * DAY => format!("{} days {side}", d / DAY),
        _ if d >= 25 * HOUR => format!("1 day {}h {side}", (d - DAY) / HOUR),
        _ if d >= 6 * HOUR => format!("{}h {side}", d / HOUR),
        HOUR.. => format!("{}h {}min {side}", d / HOUR, d % HOUR / MINUTE),
        _ if d >= 5 * MINUTE => format!("{}min {side}", d / MINUTE),
        MINUTE.. => format!("{}min {}s {side}", d / MINUTE, d % MINUTE / SECOND),
        SECOND.. => format!("{}s {side}", d / SECOND),
        _ if d >= 1000 => format!("{}ms {side}", d / 1000),
        1.. => format!("{d}us {side}"),
        0 => "now".to_owned(),
    }
}
