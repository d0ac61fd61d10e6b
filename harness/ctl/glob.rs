//! Shell patterns, as fnmatch(3) with FNM_NOESCAPE matches them.

/// Whether the pattern matches the whole text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last star takes one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match step(&pattern[p..], text[t]) {
            Step::Star => {
                star = Some((p + 1, t));
                p += 1;
            }
            Step::Matched(width) => {
                p += width;
                t += 1;
            }
            Step::No => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

enum Step {
    Star,
    Matched(usize),
    No,
}

fn step(pattern: &[char], c: char) -> Step {
    match pattern.first() {
        None => Step::No,
        Some('*') => Step::Star,
        Some('?') => Step::Matched(1),
        Some('[') => match class(pattern, c) {
            Some((true, width)) => Step::Matched(width),
            Some((false, _)) => Step::No,
            // A bracket that is never closed is itself.
            None if c == '[' => Step::Matched(1),
            None => Step::No,
        },
        Some(p) if *p == c => Step::Matched(1),
        Some(_) => Step::No,
    }
}

/// Whether a bracket expression takes `c`, and how long it is.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let mut at = start;
    let mut hit = false;
    loop {
        let low = *pattern.get(at)?;
        if low == ']' && at > start {
            return Some((hit != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some('-'), Some(high)) if *high != ']' => {
                hit |= (low..=*high).contains(&c);
                at += 3;
            }
            _ => {
                hit |= low == c;
                at += 1;
            }
        }
    }
}
