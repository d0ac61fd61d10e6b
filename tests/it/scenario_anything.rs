//! Whatever text comes in: no panic, no endless time, and a few laws that hold of all of it.

use relapse::expect::{Context, Monitor, Verdict, parse};
use relapse::mapping::{Mapping, absolute_paths, whole_numbers};
use relapse::scenario::{Bindings, Scenario, StepKind, compare, scan, update};
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Event, EventKind, Timeline, render};

use super::expect_tables::{context, event_of};

/// A small generator of numbers; the same ones in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    /// Some words in a row.
    fn sentence(&mut self, words: &[&str], most: usize) -> String {
        (0..=self.roll(most)).map(|_| self.pick(words)).collect()
    }
}

const PIECES: &[&str] = &[
    "```",
    "~~~",
    "\n",
    "\n\n",
    "# ",
    "## ",
    "> ",
    "- ",
    "    ",
    "\r\n",
    "\t",
    "\u{0}",
    "\u{1b}[31m",
    "é",
    "日本",
    "\u{202e}",
    "toml scenario",
    "toml program=x",
    "ini unit=a.service",
    "sh file=/opt/x",
    "console at=12:00:00",
    "console after=5s",
    "expect",
    "$ ",
    "? 3",
    "...",
    "[..]",
    "[PID]",
    "$PID",
    "${PID",
    "kind = \"fix\"",
    "extends = \"x\"",
    "clock = 2026-01-16T12:19:00",
    "=",
    "[[",
    "]]",
    "{",
    "\"",
    "'",
    "\\",
    "`",
    "$(",
    ")",
    "<<EOF",
    "EOF",
    "> /etc/x",
    "| tee ",
    "every 14s .. 15s",
    "5x ",
    "each cycle: ",
    "in order: ",
    "eventually ",
    "always ",
    "never ",
    "exactly 3 ",
    "at least 1 ",
    "at most ",
    "outage <= ",
    "log \"x\"",
    "log /x/",
    "start",
    "exit 1",
    "killed KILL",
    "listening 8000",
    "refused 8000",
    "restart in 10s",
    "journal \"x\"",
    " for 5min",
    " for 3 cycles",
    " within 5s",
    "unit.A = 1",
    "port 8000 owner = none",
    "port 8000 owners >= 2",
    "processes \"x\" = 1",
    " and ",
    ", ",
    "#",
    "0",
    "18446744073709551616",
    "5s",
    "/",
    "//",
    "/home/x",
    "8000",
    ":8000",
    ".",
    "-",
    "_",
];

#[test]
fn no_text_is_too_strange_for_a_scenario() {
    let good = std::fs::read_to_string("fixtures/documents/good/incident.md").expect("a document");
    let mut dice = Dice(0x5eed_0001);
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..1_500 {
        let mut text = good.clone();
        for _ in 0..=dice.roll(3) {
            let mut from = dice.roll(text.len() + 1);
            let mut to = (from + dice.roll(30)).min(text.len());
            while !text.is_char_boundary(from) {
                from -= 1;
            }
            while !text.is_char_boundary(to) {
                to += 1;
            }
            let with = if dice.roll(3) == 0 { String::new() } else { dice.sentence(PIECES, 3) };
            text.replace_range(from..to, &with);
        }
        match Scenario::parse("t.md", &text) {
            Ok(scenario) => {
                loaded += 1;
                // Every place lies within the text.
                for step in &scenario.steps {
                    assert!(text.get(step.location.span.clone()).is_some(), "{:?} in\n{text}", step.location);
                    if let StepKind::Console(console) = &step.kind {
                        for command in &console.commands {
                            assert!(text.get(command.location.span.clone()).is_some());
                            assert!(text.get(command.output_span.clone()).is_some());
                        }
                    }
                }
            }
            Err(error) => {
                refused += 1;
                let rendered = error.to_string();
                assert!(rendered.contains("error: ") && rendered.contains("t.md:"), "{rendered}");
            }
        }
    }
    assert!(loaded > 50 && refused > 500, "{loaded} loaded, {refused} refused");
    for _ in 0..1_500 {
        let text = format!("# T\n{}", dice.sentence(PIECES, 40));
        let _ = Scenario::parse("t.md", &text).map_err(|error| error.to_string());
    }
}

#[test]
fn no_text_is_too_strange_for_a_claim_or_a_command() {
    let mut dice = Dice(0x5eed_0002);
    let mut claims = 0;
    for round in 0..20_000 {
        let text = match round % 2 {
            0 => dice.sentence(PIECES, 6),
            _ => format!("{}{}", dice.pick(CLAIMS), dice.sentence(PIECES, 1)),
        };
        match parse(&text, 0..text.len()) {
            Ok(parsed) => {
                claims += parsed.len();
                assert!(
                    parsed.iter().all(|claim| text.get(claim.span.clone()) == Some(claim.text.as_str())),
                    "{text:?}"
                );
            }
            Err(error) => {
                assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{text:?}: {error:?}")
            }
        }
        let scan = scan(&text);
        assert!(scan.targets.iter().all(|target| text.get(target.span.clone()).is_some()), "{text:?}");
        assert!(scan.names.iter().all(|(_, span)| text.get(span.clone()).is_some()), "{text:?}");
        for span in absolute_paths(&text).into_iter().chain(whole_numbers(&text)) {
            assert!(!text[span].is_empty());
        }
    }
    assert!(claims > 100, "{claims} claims were read");
}

#[test]
fn mapping_there_and_back_changes_nothing() {
    let mapping = Mapping {
        root: "/tmp/relapse-x/root".into(),
        own: vec!["/etc/systemd".into(), "/home".into()],
        ports: vec![(8000, 41_234), (3000, 41_235)],
        commands: "/tmp/relapse-x/system".into(),
    };
    const WORDS: &[&str] = &[
        "/home",
        "/home/",
        "/homer",
        "/bin/kill",
        "/usr/bin/sh",
        "#!",
        "/etc/systemd/x",
        "/etc",
        "/",
        "8000",
        "3000",
        "80003000",
        ":",
        " ",
        "\n",
        "=",
        "\"",
        "'",
        "`",
        ".",
        "-",
        "a",
        "_",
        "http://x",
        "é",
        "$X",
        "}",
        "(",
        ",",
        "0.5",
    ];
    let mut dice = Dice(0x5eed_0003);
    for _ in 0..20_000 {
        let text = dice.sentence(WORDS, 8);
        let host = mapping.to_host(&text);
        assert_eq!(mapping.to_incident(&host), text, "by way of {host:?}");
    }
}

#[test]
fn after_an_update_the_output_matches() {
    const LINES: &[&str] = &[
        "a\n",
        "b\n",
        "\n",
        "...\n",
        "[..]\n",
        "a [..]\n",
        "[PID]\n",
        "a [PID] b\n",
        "$ x\n",
        "? 3\n",
        "> x\n",
        "```\n",
        "  ````\n",
        "[[PID]\n",
        "~~~ x\n",
        "$\n",
        "a 7 b\n",
        "7\n",
        " a\n",
        "\u{1b}[1m\n",
        "$x\n",
    ];
    let mut dice = Dice(0x5eed_0004);
    for _ in 0..400 {
        let (before, now) = (dice.sentence(LINES, 6), dice.sentence(LINES, 6));
        let document = |output: &str| {
            format!(
                "# T\n\n~~~~~toml scenario\nkind = \"behaviour\"\n~~~~~\n\n~~~~~ini unit=a.service\n~~~~~\n\n~~~~~console\n$ PID=1; cmd\n\
                 {output}~~~~~\n\n~~~~~console\n$ echo $PID\n~~~~~\n\n~~~~~expect\nat least 1 start\n~~~~~\n"
            )
        };
        // What the document would not read as output of the first command is no subject here.
        let Ok(scenario) = Scenario::parse("t.md", &document(&before)) else { continue };
        let command = &scenario.consoles().next().expect("a console").commands[0];
        let bound = Bindings::new();
        let updated = update(&scenario.source, &[(command, &now, &bound)]);
        let again = Scenario::parse("t.md", &updated).unwrap_or_else(|error| panic!("{before:?}, {now:?}: {error}"));
        let command = &again.consoles().next().expect("a console").commands[0];
        if let Err(mismatch) = compare(&command.output, &now, &bound) {
            panic!("{before:?}, {now:?}:\n{}", mismatch.diff);
        }
    }
}

const CLAIMS: &[&str] = &[
    "3x log \"x\" every 1s .. 3s",
    "2x start every 0s .. 5s",
    "each cycle: start, log \"x\"",
    "each cycle: exit 1",
    "in order: start, log \"x\", exit 1",
    "eventually port 8000 owner = unit within 4s",
    "eventually unit.A = 1",
    "always port 8000 owners <= 1 for 10s",
    "always unit.A != 2",
    "never exit 1 for 7s",
    "never [MANUAL] exit 0",
    "never unit.A >= 2 for 3 cycles",
    "exactly 2 start for 9s",
    "exactly 1 log \"x\" for 2 cycles",
    "at least 4 start",
    "at most 3 start for 20s",
    "outage <= 2s",
    "outage >= 1s",
];

const EVENTS: &[&str] = &[
    "start 100 x",
    "start 101 x",
    "exit 100 1",
    "exit 101 1",
    "log 100 x",
    "log 101 y",
    "listening 100 8000",
    "listening 7 8000",
    "closed 7 8000",
    "exit 7 0",
    "set a.service A=1",
    "set a.service A=2",
    "set a.service A=x",
];

/// Events at random, a quarter of them at the moment of the one before.
fn history(dice: &mut Dice, start: IncidentTime, length: usize) -> Vec<Event> {
    let mut now = start;
    (0..dice.roll(length))
        .map(|_| {
            now += Span::from_millis([0, 500, 1_000, 2_500][dice.roll(4)]);
            let kind = match dice.roll(5) {
                0 => EventKind::Request {
                    port: 8000,
                    answer: match dice.roll(2) {
                        0 => relapse::timeline::Answer::Refused,
                        _ => relapse::timeline::Answer::Status(200),
                    },
                    pid: None,
                    sent: now,
                },
                _ => event_of(dice.pick(EVENTS)),
            };
            Event { at: now, kind }
        })
        .collect()
}

#[test]
fn verdicts_do_not_depend_on_how_often_the_clock_is_told() {
    let zero = IncidentTime::from_micros(1_768_566_000_000_000);
    let mut dice = Dice(0x5eed_0005);
    let mut decided = [0, 0];
    for _ in 0..2_000 {
        let text: String = (0..=dice.roll(3)).map(|_| format!("{}\n", dice.pick(CLAIMS))).collect();
        let claims = parse(&text, 0..text.len()).expect("claims");
        let mut before = Timeline::default();
        history(&mut dice, zero - Span::from_secs(100), 8).into_iter().for_each(|event| {
            before.push(event.at.min(zero), event.kind);
        });
        let events = history(&mut dice, zero, 40);
        let begin = || {
            let context: Context = context("30s");
            Monitor::begin(&claims, context, &before, zero).expect("a block")
        };
        let (mut plain, mut told) = (begin(), begin());
        for event in &events {
            plain.feed(event);
            // Told of every moment that is over, as a runner in lock-step does.
            while let Some(deadline) = told.next_deadline()
                && deadline < event.at
            {
                told.advance(deadline);
            }
            told.advance(event.at - Span::from_micros(1));
            told.feed(event);
        }
        for monitor in [&mut plain, &mut told] {
            let mut steps = 0;
            while let Some(deadline) = monitor.next_deadline() {
                monitor.advance(deadline);
                steps += 1;
                assert!(steps < 10, "every deadline decides something:\n{text}");
            }
            assert!(!monitor.is_open());
        }
        for (one, other) in plain.claims().iter().zip(told.claims()) {
            assert_eq!(
                (one.verdict, one.decided_at, &one.reason),
                (other.verdict, other.decided_at, &other.reason),
                "{text}"
            );
            assert!(one.decided_at.is_some_and(|at| at >= zero), "{text}");
            assert!(one.evidence.iter().all(|index| *index < before.events().len() + events.len()), "{text}");
            decided[usize::from(one.verdict == Verdict::Holds)] += 1;
        }
    }
    assert!(decided.iter().all(|count| *count > 500), "both verdicts are common: {decided:?}");
}

#[test]
fn large_and_deep_inputs_are_refused_or_read_in_reasonable_time() {
    let header = "# T\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```ini unit=a.service\n```\n\n";
    let many = 50_000;
    let documents = [
        format!("{header}```expect\n{}\n```\n", "[".repeat(many)),
        format!("{header}```expect\nnever log \"{}\"\n```\n", "x".repeat(many)),
        format!("{header}```expect\nnever log /{}/\n```\n", "(".repeat(many)),
        format!("{header}```expect\nnever log /{}/\n```\n", "(a{1000}){1000}"),
        format!("{header}```expect\n{}```\n", "never start\n".repeat(5_000)),
        format!("{header}```console\n$ {}\n```\n\n```expect\nnever start\n```\n", "$(".repeat(many)),
        format!("{header}```console\n$ {}\n```\n\n```expect\nnever start\n```\n", "\"$(\"".repeat(many)),
        format!("{header}```console\n$ true\n{}]\n```\n\n```expect\nnever start\n```\n", "[".repeat(many)),
        format!("# T\n\n```toml scenario\nkind = {}\n```\n", "[".repeat(many)),
        format!("# T\n\n```toml scenario\n{} = 1\n```\n", "a.".repeat(many)),
        format!("# T\n{}", ">".repeat(many)),
        format!("# T\n{}", "- ".repeat(2_000)),
        format!("# T\n{}", "```console\n".repeat(5_000)),
        "`".repeat(many),
        format!("# {}", "[".repeat(many)),
    ];
    for document in &documents {
        // Whether it loads is not the question; that the answer comes is.
        let _ = Scenario::parse("t.md", document).map_err(|error| error.to_string());
    }
    let scenario = Scenario::parse(
        "t.md",
        &format!("{header}```console\n$ x\n...\n[..]a\n...\n[..]b\n...\n```\n\n```expect\nnever start\n```\n"),
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let output = &scenario.consoles().next().expect("a console").commands[0].output;
    assert!(compare(output, &"a\n".repeat(many), &Bindings::new()).is_err());
    let mut timeline = Timeline::default();
    for index in 0..u32::try_from(many).expect("small") {
        let cmdline = "x".into();
        timeline.push(
            IncidentTime::from_micros(0),
            EventKind::Start { unit: None, role: None, pid: index, ppid: 1, cmdline },
        );
    }
    assert_eq!(render(&timeline).lines().count(), many);
}
