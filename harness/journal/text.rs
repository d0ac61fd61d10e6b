//! What is fit to print, and what a terminal gets of what is.

/// Whether `bytes` are UTF-8 without control characters other than tab and newline, as systemd asks before it
/// prints a value as text.
pub fn is_printable(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\t' && c != '\n'))
}

/// A number of bytes as systemd prints it: `12B`, `1.5K`.
pub fn format_bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 6] =
        [("E", 1 << 60), ("P", 1 << 50), ("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match UNITS.iter().find(|(_, factor)| count >= *factor) {
        // The digit after the point is cut off twice: at the next smaller unit, and here.
        Some((unit, factor)) => {
            let tenths = count % factor / (factor >> 10) * 10 / 1024;
            format!("{}.{tenths}{unit}", count / factor)
        }
        None => format!("{count}B"),
    }
}

/// The message as the short formats show it: tabs become eight blanks, terminal escape sequences go.
pub(super) fn strip_tab_ansi(bytes: &[u8]) -> Vec<u8> {
    const ESC: u8 = 0x1b;
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'\t' => {
                out.extend_from_slice(b"        ");
                rest = after;
            }
            ESC => match sequence_len(after) {
                Some(len) => rest = &after[len..],
                None => {
                    out.push(first);
                    rest = after;
                }
            },
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

/// Length of a complete escape sequence that follows an ESC: `[` digits and semicolons, then a letter; or an
/// operating system command up to BEL or `ESC \`.
fn sequence_len(after: &[u8]) -> Option<usize> {
    match after.first()? {
        b'[' => {
            let body = after[1..].iter().take_while(|b| b.is_ascii_digit() || **b == b';').count();
            after.get(1 + body).filter(|b| b.is_ascii_alphabetic()).map(|_| body + 2)
        }
        b']' => {
            let text = after[1..].iter().take_while(|b| (0x20..0x7f).contains(*b)).count();
            match after.get(1 + text)? {
                0x07 => Some(text + 2),
                0x1b if after.get(2 + text) == Some(&b'\\') => Some(text + 3),
                _ => None,
            }
        }
        _ => None,
    }
}
