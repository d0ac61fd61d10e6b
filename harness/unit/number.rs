//! Integers and truth values as systemd's parsers take them (`safe_atou`, `parse_boolean`, `parse_mode`).

use super::Errno;

/// systemd's WHITESPACE: what separates words and is stripped from lines.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// A truth value, case-insensitive (systemd.syntax(7)).
pub(crate) fn boolean(text: &str) -> Result<bool, Errno> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["1", "yes", "y", "true", "t", "on"]) {
        Ok(true)
    } else if is(&["0", "no", "n", "false", "f", "off"]) {
        Ok(false)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Digits in the base their prefix names, as strtoul(3) with base 0 reads them, and systemd's `0b` and `0o`.
fn magnitude(text: &str, base: u32) -> Result<u64, Errno> {
    let lower = |prefix: &str| text.get(..2).filter(|head| head.eq_ignore_ascii_case(prefix)).map(|_| &text[2..]);
    let (digits, base) = match base {
        0 => match (lower("0x"), lower("0b"), lower("0o")) {
            (Some(rest), _, _) => (rest, 16),
            (_, Some(rest), _) => (rest, 2),
            (_, _, Some(rest)) => (rest, 8),
            _ if text.len() > 1 && text.starts_with('0') => (text, 8),
            _ => (text, 10),
        },
        base => (text, base),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(Errno::EINVAL);
    }
    u64::from_str_radix(digits, base).map_err(|_| Errno::ERANGE)
}

/// An unsigned 32-bit integer; `-1` is out of range, not malformed.
pub(crate) fn unsigned(text: &str) -> Result<u32, Errno> {
    let value = long_unsigned(text)?;
    u32::try_from(value).map_err(|_| Errno::ERANGE)
}

/// An unsigned 64-bit integer.
pub(crate) fn long_unsigned(text: &str) -> Result<u64, Errno> {
    let text = text.trim_start_matches(BLANKS);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match magnitude(digits, 0)? {
        value if negative && value != 0 => Err(Errno::ERANGE),
        value => Ok(value),
    }
}

/// A signed 32-bit integer.
pub(crate) fn signed(text: &str) -> Result<i32, Errno> {
    let text = text.trim_start_matches(BLANKS);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = i64::try_from(magnitude(digits, 0)?).map_err(|_| Errno::ERANGE)?;
    i32::try_from(if negative { -value } else { value }).map_err(|_| Errno::ERANGE)
}

/// An access mode: octal, no sign, at most 07777.
pub(crate) fn mode(text: &str) -> Result<u32, Errno> {
    match magnitude(text.trim_start_matches(BLANKS), 8)? {
        value if value > 0o7777 => Err(Errno::ERANGE),
        value => u32::try_from(value).map_err(|_| Errno::ERANGE),
    }
}

/// A size in bytes with a binary suffix (`64K`, `1.5G`), as `ReceiveBuffer=` takes it.
pub(crate) fn size(text: &str) -> Result<u64, Errno> {
    const SUFFIXES: [(&str, u32); 8] =
        [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10), ("B", 0), ("", 0)];
    let mut rest = text.trim_matches(BLANKS);
    if rest.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut total: u64 = 0;
    let mut last = u32::MAX;
    while !rest.is_empty() {
        let negative = rest.starts_with('-');
        rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(Errno::EINVAL);
        }
        if negative {
            return Err(Errno::ERANGE);
        }
        let whole: u64 = rest[..digits].parse().map_err(|_| Errno::ERANGE)?;
        rest = &rest[digits..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let count = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            fraction = &after[..count];
            rest = &after[count..];
        }
        rest = rest.trim_start_matches(BLANKS);
        let (suffix, shift) = SUFFIXES.iter().find(|(name, _)| rest.starts_with(name)).ok_or(Errno::EINVAL)?;
        // Units must come in falling order, each once; a bare number ends the text.
        if *shift >= last || (suffix.is_empty() && !rest.is_empty()) {
            return Err(Errno::EINVAL);
        }
        last = if suffix.is_empty() { 0 } else { *shift };
        rest = rest[suffix.len()..].trim_start_matches(BLANKS);
        let unit = 1u64 << shift;
        total = whole.checked_mul(unit).and_then(|term| total.checked_add(term)).ok_or(Errno::ERANGE)?;
        let mut place = unit / 10;
        for digit in fraction.bytes() {
            total = total.checked_add(u64::from(digit - b'0') * place).ok_or(Errno::ERANGE)?;
            place /= 10;
        }
    }
    Ok(total)
}
