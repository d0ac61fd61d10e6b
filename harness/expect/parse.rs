//! Text → claims: a parser by hand, one function per rule of the grammar.

use std::ops::Range;

use super::claim::*;
use super::nearest::nearest;
use super::source::Diagnostic;
use super::words::Words;
use crate::timeline::signal_number;

type Result<T> = std::result::Result<T, Diagnostic>;

/// What a claim may begin with.
const CLAIMS: &[&str] = &["each", "in", "eventually", "always", "never", "exactly", "at", "outage"];

/// What an event may be called.
const ACTS: &[&str] =
    &["log", "start", "exit", "killed", "listening", "refused", "restart", "start-limit-hit", "journal"];

/// The claims in the byte range `block` of `text`, one a line; blank lines and comments are skipped.
///
/// # Errors
///
/// The first line that is not a claim, with its place in `text` and what was expected there.
pub fn parse(text: &str, block: Range<usize>) -> Result<Vec<Claim>> {
    let first_line = 1 + text.get(..block.start).unwrap_or_default().matches('\n').count();
    parse_from(text, block, first_line)
}

/// The same, if the number of the block's first line is known.
pub(crate) fn parse_from(text: &str, block: Range<usize>, first_line: usize) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    let mut start = block.start;
    for (line_number, line) in (first_line..).zip(text.get(block).unwrap_or_default().split_inclusive('\n')) {
        let mut words = Words::new(text, start..start + line.trim_end().len());
        if !words.is_done() {
            let from = words.at();
            let kind = claim(&mut words)?;
            if !words.is_done() {
                return Err(trailing(&words, &kind));
            }
            let end = words.behind(from);
            claims.push(Claim {
                text: words.slice(from, end).to_owned(),
                span: from..end,
                line: u32::try_from(line_number).unwrap_or(u32::MAX),
                kind,
            });
        }
        start += line.len();
    }
    Ok(claims)
}

/// Something follows a complete claim.
fn trailing(words: &Words<'_>, kind: &ClaimKind) -> Diagnostic {
    let error = words.expected("the end of the line or a `#` comment");
    match (kind, words.peek()) {
        (ClaimKind::Eventually { .. }, "for") => error.help("`eventually` takes `within SPAN`"),
        (ClaimKind::Always { .. } | ClaimKind::Never { .. } | ClaimKind::Count { .. }, "within") => {
            error.help("this claim takes `for SPAN` or `for N cycles`")
        }
        (ClaimKind::Repeats { .. }, "for") => {
            error.help("how long `Nx … every …` takes follows from its number and its spans")
        }
        _ => error,
    }
}

fn claim(words: &mut Words<'_>) -> Result<ClaimKind> {
    let first = words.peek();
    if let Some(count) = first.strip_suffix('x')
        && !count.is_empty()
        && count.bytes().all(|b| b.is_ascii_digit())
    {
        return repeats(words, count);
    }
    match first {
        "each" => {
            words.keyword("each");
            if !words.keyword("cycle:") {
                return Err(words.expected("`cycle:`"));
            }
            Ok(ClaimKind::EachCycle(events(words)?))
        }
        "in" => {
            words.keyword("in");
            if !words.keyword("order:") {
                return Err(words.expected("`order:`"));
            }
            Ok(ClaimKind::InOrder(events(words)?))
        }
        "eventually" => {
            words.keyword("eventually");
            let cond = cond(words)?;
            let within = if words.keyword("within") { Some(words.time_span()?.0) } else { None };
            Ok(ClaimKind::Eventually { cond, within })
        }
        "always" => {
            words.keyword("always");
            if at_event(words) {
                return Err(words.expected("a condition, as in `unit.ActiveState = active`").help(
                    "an event is over in a moment; say how often it happens with `exactly`, `at least` or `at most`",
                ));
            }
            Ok(ClaimKind::Always { cond: cond(words)?, window: window(words)? })
        }
        "never" => {
            words.keyword("never");
            let what = if at_event(words) { Absent::Event(event(words)?) } else { Absent::Cond(cond(words)?) };
            Ok(ClaimKind::Never { what, window: window(words)? })
        }
        "exactly" | "at" => count(words),
        "outage" => {
            words.keyword("outage");
            let op = match () {
                () if words.sign("<=") => Op::AtMost,
                () if words.sign(">=") => Op::AtLeast,
                () if words.sign("=") => Op::Equal,
                () => return Err(words.expected("`<=`, `>=` or `=`")),
            };
            Ok(ClaimKind::Outage { op, span: words.time_span()?.0 })
        }
        word => Err(no_claim(words, word)),
    }
}

/// The line begins with nothing a claim begins with.
fn no_claim(words: &Words<'_>, word: &str) -> Diagnostic {
    let error = words.expected(
        "a claim: `5x EVENT every …`, `each cycle:`, `in order:`, `eventually`, `always`, `never`, `exactly`, `at least`, `at most` or `outage`",
    );
    if let Some(near) = nearest(word, CLAIMS) {
        error.help(format!("did you mean `{near}`?"))
    } else if at_event(words) {
        error.help("to claim that an event happens, write how often: `at least 1 …`, `exactly 1 …`, or `in order: …`")
    } else if word == "port" || word == "processes" || word.contains('.') {
        error.help("to claim a condition, write when: `eventually …`, `always …` or `never …`")
    } else {
        error
    }
}

fn repeats(words: &mut Words<'_>, count: &str) -> Result<ClaimKind> {
    let (_, span) = words.word();
    let count: u32 = match count.parse() {
        Ok(count) if count >= 2 => count,
        Ok(_) => {
            return Err(Diagnostic::new(span, "one event has no distance to the next", "expected `2x` or more")
                .help("to claim a number of events, write `exactly N …` or `at least N …`"));
        }
        Err(_) => return Err(Diagnostic::new(span, "the number is too large", "expected a smaller number")),
    };
    let event = event(words)?;
    if !words.keyword("every") {
        return Err(words.expected("`every SPAN .. SPAN`"));
    }
    let (least, from) = words.time_span()?;
    if !words.sign("..") {
        return Err(words.expected("`..` and the longest distance, as in `every 14s .. 15s`"));
    }
    let (most, to) = words.time_span()?;
    if most < least {
        return Err(Diagnostic::new(from.start..to.end, "the range is empty", "expected the shorter span first"));
    }
    Ok(ClaimKind::Repeats { count, event, least, most })
}

fn count(words: &mut Words<'_>) -> Result<ClaimKind> {
    let bound = if words.keyword("exactly") {
        Bound::Exactly
    } else {
        words.keyword("at");
        match () {
            () if words.keyword("least") => Bound::AtLeast,
            () if words.keyword("most") => Bound::AtMost,
            () => return Err(words.expected("`least` or `most`")),
        }
    };
    let (count, span) = words.integer("a number")?;
    if bound == Bound::AtLeast && count == 0 {
        return Err(Diagnostic::new(span, "`at least 0` is true of everything", "expected 1 or more"));
    }
    Ok(ClaimKind::Count { bound, count, event: event(words)?, window: window(words)? })
}

fn window(words: &mut Words<'_>) -> Result<Option<Window>> {
    if !words.keyword("for") {
        return Ok(None);
    }
    // `for 5 cycles` and `for 5 min` begin alike.
    if let Some((count, span)) = words.try_cycles() {
        if count == 0 {
            return Err(Diagnostic::new(span, "a window of no cycles sees nothing", "expected 1 or more"));
        }
        return Ok(Some(Window::Cycles(count)));
    }
    let (length, span) = words.time_span()?;
    if length.is_zero() || length.is_infinite() {
        return Err(Diagnostic::new(
            span,
            "the window never ends or is empty",
            "expected a span such as `5min`, or `3 cycles`",
        ));
    }
    Ok(Some(Window::For(length)))
}

fn events(words: &mut Words<'_>) -> Result<Vec<EventPattern>> {
    let mut events = vec![event(words)?];
    while words.sign(",") {
        events.push(event(words)?);
    }
    Ok(events)
}

/// Whether what comes next is an event rather than a condition.
fn at_event(words: &Words<'_>) -> bool {
    let word = words.peek();
    word.starts_with('[') || ACTS.contains(&word) || is_unit_name(word)
}

fn event(words: &mut Words<'_>) -> Result<EventPattern> {
    let from = words.at();
    let subject = if let Some(var) = words.var()? {
        Subject::Var(var)
    } else if is_unit_name(words.peek()) && !ACTS.contains(&words.peek()) {
        Subject::Unit(words.word().0.to_owned())
    } else {
        Subject::Default
    };
    let (act_at, word) = (words.at(), words.peek());
    let act = act(words)?;
    let of_unit = matches!(act, Act::RestartIn(_) | Act::RestartScheduled | Act::StartLimitHit | Act::Journal(_));
    if let (Subject::Var(_), true) = (&subject, of_unit) {
        return Err(Diagnostic::new(
            act_at..act_at + word.len(),
            format!("`{word}` is said of a unit, not of a process"),
            "expected an act of the process",
        )
        .help("leave out the `[NAME]` to mean the unit"));
    }
    let end = words.behind(from);
    Ok(EventPattern { subject, act, span: from..end, text: words.slice(from, end).to_owned() })
}

fn act(words: &mut Words<'_>) -> Result<Act> {
    let word = words.peek();
    if !ACTS.contains(&word) {
        let error = words.expected(
            "an event: `log`, `start`, `exit`, `killed`, `listening`, `refused`, `restart in`, `restart scheduled`, `start-limit-hit` or `journal`",
        );
        return Err(match nearest(word, ACTS) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        });
    }
    words.take(word.len());
    Ok(match word {
        "log" => Act::Log(words.pattern()?),
        "journal" => Act::Journal(words.pattern()?),
        "start" => Act::Start,
        "start-limit-hit" => Act::StartLimitHit,
        "listening" => Act::Listening(words.port()?),
        "refused" => Act::Refused(words.port()?),
        "exit" => {
            let (code, span) = words.integer("an exit code, as in `exit 1`")?;
            match u8::try_from(code) {
                Ok(code) => Act::Exit(code),
                Err(_) => {
                    return Err(Diagnostic::new(span, format!("{code} is not an exit code"), "expected 0 to 255"));
                }
            }
        }
        "killed" => match signal_number(words.peek()) {
            Some(signal) => {
                words.word();
                Act::Killed(signal)
            }
            None => return Err(words.expected("a signal, as in `killed KILL`")),
        },
        _ if words.keyword("in") => Act::RestartIn(words.time_span()?.0),
        _ if words.keyword("scheduled") => Act::RestartScheduled,
        _ => return Err(words.expected("`in SPAN` or `scheduled`")),
    })
}

fn cond(words: &mut Words<'_>) -> Result<Cond> {
    let mut terms = vec![term(words)?];
    while words.keyword("and") {
        terms.push(term(words)?);
    }
    Ok(Cond { terms })
}

fn term(words: &mut Words<'_>) -> Result<Term> {
    let from = words.at();
    let quantity = quantity(words)?;
    let text = words.slice(from, words.behind(from)).to_owned();
    let op_at = words.at();
    let op = match () {
        () if words.sign("!=") => Op::NotEqual,
        () if words.sign(">=") => Op::AtLeast,
        () if words.sign("<=") => Op::AtMost,
        () if words.sign("==") => {
            return Err(Diagnostic::new(op_at..op_at + 2, "unexpected `==` in a claim", "expected `=`"));
        }
        () if words.sign("=") => Op::Equal,
        () => return Err(words.expected("`=`, `!=`, `>=` or `<=`")),
    };
    let op_end = words.behind(op_at);
    if matches!(quantity, Quantity::Owner(_)) && matches!(op, Op::AtLeast | Op::AtMost) {
        return Err(Diagnostic::new(
            op_at..op_end,
            format!("an owner cannot be compared with `{op}`"),
            "expected `=` or `!=`",
        )
        .help("`port N owners` is the number of owners"));
    }
    let value_at = words.at();
    let value = value(words)?;
    let span = from..words.behind(from);
    let value_span = value_at..span.end;
    check_value(&quantity, op, &value, value_span)?;
    Ok(Term { quantity, op, value, span, text })
}

/// Whether the two sides can ever be compared.
fn check_value(quantity: &Quantity, op: Op, value: &Value, span: Range<usize>) -> Result<()> {
    let Value::Word(word) = value else {
        return match (quantity, value) {
            (Quantity::Owners(_) | Quantity::Processes(_), Value::None) => {
                Err(Diagnostic::new(span, "a number cannot be `none`", "expected a number"))
            }
            _ => Ok(()),
        };
    };
    let is_number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    match quantity {
        Quantity::Owners(_) | Quantity::Processes(_) if !is_number => {
            Err(Diagnostic::new(span, format!("`{word}` is not a number"), "expected a number"))
        }
        Quantity::Property(_) if matches!(op, Op::AtLeast | Op::AtMost) && crate::time::Span::parse(word).is_err() => {
            Err(Diagnostic::new(span, format!("`{word}` has no order"), "expected a number or a time span"))
        }
        _ => Ok(()),
    }
}

fn quantity(words: &mut Words<'_>) -> Result<Quantity> {
    let word = words.peek();
    match word {
        "port" => {
            words.take(word.len());
            let port = words.port()?;
            match () {
                () if words.keyword("owner") => Ok(Quantity::Owner(port)),
                () if words.keyword("owners") => Ok(Quantity::Owners(port)),
                () => Err(words.expected("`owner` or `owners`")),
            }
        }
        "processes" => {
            words.take(word.len());
            Ok(Quantity::Processes(words.pattern()?))
        }
        _ => match property_name(word) {
            Some(name) => {
                words.take(word.len());
                Ok(Quantity::Property(name))
            }
            None => {
                let error = words
                    .expected("a condition: `unit.PROPERTY`, `port N owner`, `port N owners` or `processes \"…\"`");
                Err(match word.strip_prefix("unit.") {
                    Some(_) => {
                        error.help("properties are spelt as `systemctl show` prints them, such as `unit.ActiveState`")
                    }
                    None if word.starts_with('[') => {
                        error.help("a process can be compared with a port's owner: `port 8000 owner = [NAME]`")
                    }
                    None => match nearest(word, ACTS) {
                        Some(near) => error.help(format!("did you mean the event `{near}`?")),
                        None => error,
                    },
                })
            }
        },
    }
}

/// `unit.Property`, `name.Property` or `name.service.Property`.
fn property_name(word: &str) -> Option<PropertyName> {
    let (unit, name) = word.rsplit_once('.')?;
    let is_property =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if unit.is_empty() || !is_property {
        return None;
    }
    let unit = (unit != "unit").then(|| full_unit_name(unit));
    Some(PropertyName { unit, name: name.to_owned() })
}

fn value(words: &mut Words<'_>) -> Result<Value> {
    if words.at_quote() {
        return Ok(Value::Word(words.quoted()?));
    }
    if let Some(var) = words.var()? {
        return Ok(Value::Var(var));
    }
    let word = words.peek();
    if word.is_empty() {
        return Err(words.expected("a value"));
    }
    if word.starts_with(|c: char| c.is_ascii_digit())
        && let Some((_, span)) = words.try_time_span()
    {
        return Ok(Value::Word(words.slice(span.start, span.end).to_owned()));
    }
    let is_reference = word.starts_with("unit.") || word.rsplit_once('.').is_some_and(|(unit, _)| is_unit_name(unit));
    if is_reference && let Some(name) = property_name(word) {
        words.take(word.len());
        return Ok(Value::Property(name));
    }
    words.take(word.len());
    Ok(if word == "none" { Value::None } else { Value::Word(word.to_owned()) })
}
