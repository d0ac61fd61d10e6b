//! What the commands of a unit do to its starts.

use super::program::Command;
use super::rules;
use super::sheet::{Line, Sheet};
use super::shell::{Joint, Role, Script, Simple, base};
use crate::manager::{ExecRole, Exit};
use crate::time::Span;
use crate::timeline::brief;
use crate::world::Ends;

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let lines = sheet.lines.clone();
    for line in &lines {
        shell_syntax(sheet, line);
    }
    if !sheet.is_usable() {
        return;
    }
    for line in &lines {
        match line.key {
            "ExecStart" => inner_loop(sheet, line),
            "ExecStartPre" if !line.ignores_failure && fails_on_busy_port(&line.command) => port_check(sheet, line),
            "ExecStartPre" => wait(sheet, line),
            "ExecCondition" if fails_on_busy_port(&line.command) => port_condition(sheet, line),
            _ => {}
        }
    }
}

fn shell_syntax(sheet: &mut Sheet<'_>, line: &Line) {
    const WORDS: [&str; 12] =
        ["&&", "||", "|", ">", ">>", "<", "&", "2>&1", ">/dev/null", "2>/dev/null", "&>/dev/null", "1>&2"];
    let argv = &line.command.argv;
    let found = argv.iter().enumerate().skip(1).find(|(at, word)| {
        // `cut -d |` means it.
        WORDS.contains(&word.as_str()) && !argv.get(at - 1).is_some_and(|before| before.starts_with('-') && *at > 1)
    });
    let Some((_, word)) = found else { return };
    let name = base(&argv[0]);
    let message = format!("no shell reads this line: {word} and what follows are arguments of {name}");
    let fix = Some(format!("{}=/bin/sh -c '…'", line.key));
    sheet.found(&rules::SHELL_SYNTAX, line.spot.clone(), message, &format!("{word} is an argument"), fix);
}

/// `while true; do server; sleep 1; done`
fn inner_loop(sheet: &mut Sheet<'_>, line: &Line) {
    let Some(script) = line.command.script.as_ref().filter(|script| !script.odd) else { return };
    let endless = script.commands.iter().any(|simple| {
        simple.role == Role::LoopCondition
            && !simple.negated
            && matches!(simple.name(), ":" | "true")
            && simple.after != Joint::And
    });
    let server = script.commands.iter().find_map(|simple| {
        let inside = simple.role == Role::LoopBody && !simple.substituted;
        inside.then(|| Command::of(simple.texts()).known).flatten().filter(|known| !known.bind_errors.is_empty())
    });
    let (true, Some(server)) = (endless, server) else { return };
    let course = sheet.forecast(&sheet.unit).ends(Ends::Never).run_for(sheet.horizon());
    let message = format!(
        "the shell starts {} again and again, and systemd sees only the shell: {} start, {} ({}), NRestarts={}; no Restart=, no start limit and no \
         RestartPreventExitStatus= ends it",
        server.name, course.starts, course.active_state, course.sub_state, course.nrestarts
    );
    sheet.found(&rules::LOOP, line.spot.clone(), message, "a loop that systemd does not see", None);
}

/// Programs that tell whether a port is in use, and succeed if it is.
const PORT_TOOLS: [&str; 8] = ["ss", "netstat", "lsof", "fuser", "nc", "ncat", "netcat", "curl"];

/// Whether a command looks at a port: one of the programs, with a number somewhere.
fn looks_at_port(simple: &Simple) -> bool {
    let kills = simple.words.iter().any(|word| matches!(word.text.as_str(), "-k" | "--kill"));
    PORT_TOOLS.contains(&simple.name()) && !kills
}

/// Pipelines of a script: their commands, in order.
fn pipelines(script: &Script) -> Vec<Vec<&Simple>> {
    let mut all: Vec<Vec<&Simple>> = Vec::new();
    for simple in &script.commands {
        match all.last_mut() {
            Some(last)
                if simple.before == Joint::Pipe && last.last().is_some_and(|l| l.substituted == simple.substituted) =>
            {
                last.push(simple);
            }
            _ => all.push(vec![simple]),
        }
    }
    all
}

fn fails(simple: &Simple) -> bool {
    let texts = simple.texts();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["false"] => true,
        ["exit", code] => *code != "0" && code.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// Whether a command certainly fails while a port is in use, and just because of it.
fn fails_on_busy_port(command: &Command) -> bool {
    let Some(script) = command.script.as_ref().filter(|script| !script.odd) else { return false };
    if script.commands.iter().any(|simple| simple.looped || simple.role == Role::ForBody) {
        return false;
    }
    let all = pipelines(script);
    let has_number = |pipeline: &[&Simple]| {
        pipeline
            .iter()
            .flat_map(|simple| &simple.words)
            .any(|word| word.text.bytes().filter(u8::is_ascii_digit).count() >= 2)
    };
    for (index, pipeline) in all.iter().enumerate() {
        let Some((first, last)) = pipeline.first().zip(pipeline.last()) else { continue };
        if !looks_at_port(first) || !has_number(pipeline) {
            continue;
        }
        let inverted =
            pipeline.iter().skip(1).any(|simple| simple.words.iter().any(|word| word.text.starts_with("-v")));
        let next = all.get(index + 1).and_then(|next| next.first());
        if inverted {
            continue;
        }
        let ends_with = next.is_none() || last.after == Joint::And;
        if first.substituted {
            // `test -z "$(lsof …)"`: the test comes before what it asks.
            let tests = script.commands.iter().filter(|simple| !simple.substituted).collect::<Vec<_>>();
            if let [only] = tests.as_slice()
                && matches!(only.name(), "[" | "test")
                && only.words.get(1).is_some_and(|word| word.text == "-z")
                && !only.negated
            {
                return true;
            }
            continue;
        }
        let fatal = match first.role {
            Role::Plain if first.negated => ends_with,
            Role::Plain => last.after == Joint::And && next.is_some_and(|next| fails(next)),
            Role::IfCondition if !first.negated => {
                let inside = |simple: &&Simple| simple.role == Role::IfBody && !simple.substituted;
                script.commands.iter().rfind(inside).is_some_and(fails)
            }
            _ => false,
        };
        if fatal {
            return true;
        }
    }
    false
}

fn port_check(sheet: &mut Sheet<'_>, line: &Line) {
    let mut message = "this fails as long as the port is taken, and so does the start".to_owned();
    if !sheet.options.partial {
        let course =
            sheet.forecast(&sheet.unit).command(ExecRole::StartPre, Some(Exit::Code(1))).run_for(sheet.horizon());
        message.push_str(&match (course.limited_at, course.pace) {
            (Some(at), _) => format!(
                ": the start limit ends it {} after the first attempt, and the unit stays {} ({}) when the port is free",
                brief(at),
                course.active_state,
                course.sub_state
            ),
            (None, Some(pace)) if course.goes_on() => {
                format!(": it is tried again every {}, for ever, without a start-up in between", brief(pace))
            }
            (None, _) => format!(
                ": it is not tried again and stays {} ({}) when the port is free",
                course.active_state, course.sub_state
            ),
        });
    }
    let fix = Some(
        "ExecStartPre=/bin/sh -c \"while ss -ltn | grep -q ':PORT '; do sleep 1; done\"\nTimeoutStartSec=infinity"
            .to_owned(),
    );
    sheet.found(&rules::PORT_CHECK, line.spot.clone(), message, "fails while the port is taken", fix);
}

fn port_condition(sheet: &mut Sheet<'_>, line: &Line) {
    let mut message =
        "this skips the start while the port is taken, and a start that is skipped is not tried again".to_owned();
    if !sheet.options.partial {
        let course =
            sheet.forecast(&sheet.unit).command(ExecRole::Condition, Some(Exit::Code(1))).run_for(sheet.horizon());
        message.push_str(&format!(
            ": the unit is {} ({}), Result={}, and stays so after the holder has left",
            course.active_state, course.sub_state, course.result
        ));
    }
    sheet.found(&rules::PORT_CONDITION, line.spot.clone(), message, "never tried again", None);
}

/// `while …; do sleep 1; done` without another end.
fn wait(sheet: &mut Sheet<'_>, line: &Line) {
    let Some(timeout) = sheet.service().map(|service| service.timeout_start_sec) else { return };
    if timeout.is_infinite() || sheet.options.partial {
        return;
    }
    let takes = match bound(&line.command) {
        Bound::None => "this may wait longer than".to_owned(),
        Bound::At(span) if span >= timeout => format!("this takes up to {}, more than", brief(span)),
        Bound::At(_) | Bound::Unknown => return,
    };
    let course = sheet.forecast(&sheet.unit).command(ExecRole::StartPre, None).run_for(sheet.hanging());
    let then = match (course.limited_at, course.pace) {
        (Some(at), _) => format!("the start limit ends it after {}", brief(at)),
        (None, Some(pace)) if course.goes_on() => format!("it begins anew every {}", brief(pace)),
        (None, _) => format!("it stays {} ({})", course.active_state, course.sub_state),
    };
    let message = format!(
        "{takes} TimeoutStartSec={} allows: it is then killed, the start has failed with Result=timeout, and {then}",
        brief(timeout)
    );
    sheet.found(
        &rules::UNBOUNDED_WAIT,
        line.spot.clone(),
        message,
        "waits without an end of its own",
        Some("TimeoutStartSec=infinity".to_owned()),
    );
}

enum Bound {
    /// It has none.
    None,
    At(Span),
    /// There may be one.
    Unknown,
}

fn bound(command: &Command) -> Bound {
    // `timeout 5min sh -c …`
    if let [name, rest @ ..] = command.argv.as_slice()
        && base(name) == "timeout"
    {
        let span = rest.iter().find(|word| !word.starts_with('-')).and_then(|word| Span::parse(word).ok());
        return span.map_or(Bound::Unknown, Bound::At);
    }
    if command.name() == "sleep" && command.script.is_none() {
        let spans: Option<Vec<Span>> = command.program.iter().skip(1).map(|word| Span::parse(word).ok()).collect();
        return match spans.as_deref() {
            Some([span]) => Bound::At(*span),
            _ => Bound::Unknown,
        };
    }
    let Some(script) = command.script.as_ref().filter(|script| !script.odd) else { return Bound::Unknown };
    let sleeps =
        script.commands.iter().any(|simple| simple.role == Role::LoopBody && simple.looped && simple.name() == "sleep");
    let counts = script.commands.iter().any(|simple| {
        matches!(simple.name(), "break" | "exit" | "return" | "timeout" | "expr" | "let" | "read" | "kill")
            || simple.words.iter().any(|word| {
                let text = word.text.as_str();
                text.contains("$((")
                    || matches!(text, "-lt" | "-le" | "-gt" | "-ge" | "-eq" | "-ne")
                    || text.contains('=')
            })
    });
    if sleeps && !counts { Bound::None } else { Bound::Unknown }
}
