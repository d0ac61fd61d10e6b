//! Input from people who mean harm, or whose generator ran wild: systemd's answer, no panic, and an end. What takes more
//! than linear time is felt here; `cargo bench --bench hostile` measures it.

use proptest::prelude::*;
use relapse::Scenario;
use relapse::expect::parse;
use relapse::journal::{Format, Journal, LineBreak, Record, StreamBuffer, Style};
use relapse::manager::{Config, JobMode, JobVerb, Reply, Request};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{Files, LoadState, Profile, Unit, load};
use relapse::world::{Act, Happened, Launch, Program, World};
use rstest::rstest;

use crate::manager::BOOT;
use crate::unit_properties::check;

const MIB: usize = 1024 * 1024;

fn read(section: &str, lines: &str) -> Unit {
    let text = format!("[Service]\nExecStart=/bin/true\n[{section}]\n{lines}\n");
    Unit::parse("x.service", text, Profile::V252)
}

/// What a line does to a unit: its load state, and what is said of it.
#[rstest]
#[case::the_longest_line_that_is_read("Unit", &["Description=", &"x".repeat(MIB - 12)], "loaded", "")]
#[case::one_byte_more("Unit", &["Description=", &"x".repeat(MIB - 11)], "error", "No buffer space available")]
#[case::continued_for_ever("Unit", &["Description=x\\\n", &"y\\\n".repeat(MIB)], "error", "No buffer space available")]
#[case::nul_ends_a_line("Unit", &["Description=a\0Documentation=man:x(1)"], "loaded", "")]
#[case::no_character("Unit", &["Description=caf\u{fffe}"], "error", "Invalid argument")]
#[case::broken_header("Unit", &["[Unit\nDescription=x"], "error", "Bad message")]
#[case::specifiers_that_grow("Unit", &["Description=", &"%n".repeat(MIB / 4)], "loaded", "Failed to resolve unit specifiers in '%n%n")]
#[case::specifiers_of_a_command("Service", &["ExecStartPre=/bin/x ", &"%n".repeat(MIB / 4)], "bad-setting", "Failed to resolve unit specifiers in %n%n")]
#[case::a_span_without_end("Service", &["RestartSec=", &"1s ".repeat(MIB / 4)], "loaded", "")]
#[case::a_span_too_long("Service", &["RestartSec=", &"9999999999999999999y ".repeat(100)], "loaded", "Failed to parse sec value, ignoring: 9999")]
#[case::an_open_quote("Service", &["Environment=\"", &"A=1 ".repeat(MIB / 8)], "loaded", "Invalid syntax")]
fn a_line_gets_the_answer_of_systemd(
    #[case] section: &str,
    #[case] line: &[&str],
    #[case] state: &str,
    #[case] said: &str,
) {
    let unit = read(section, &line.concat());
    assert_eq!(unit.load_state.as_str(), state, "{:?}", unit.load_error);
    let error = unit.load_error.clone().unwrap_or_default();
    let mut texts = unit.warnings.iter().map(|warning| warning.text.as_str()).chain([error.as_str()]);
    let first = unit.warnings.first().map_or("", |warning| &warning.text);
    assert!(texts.any(|text| text.contains(said)), "nothing says `{said}`: {error:.200} {first:.300}");
    drop((unit.properties(), unit.to_text()));
}

#[test]
fn bytes_that_are_no_text_make_the_unit_unusable() {
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"caf\xe9 \xf0\x9f\x98"] {
        let text = [b"[Service]\nExecStart=/bin/true\nRestart=".as_slice(), bytes, b"\n"].concat();
        let unit = Unit::parse("x.service", &text, Profile::V252);
        assert_eq!(unit.load_state, LoadState::Error, "{bytes:?}");
        assert!(unit.warnings[0].text.starts_with("String is not UTF-8 clean, ignoring assignment: Restart="));
    }
}

#[test]
fn a_value_that_is_refused_leaves_the_one_before() {
    let (long, deep) = ("always".repeat(MIB / 8), format!("/{}", "x/".repeat(4096)));
    for (key, good, bad) in [
        ("RestartSec", "3s", "9999999999999999999y"),
        ("Restart", "always", long.as_str()),
        ("KillSignal", "SIGINT", "%z"),
        ("UMask", "0027", deep.as_str()),
    ] {
        let before = read("Service", &format!("{key}={good}"));
        let after = read("Service", &format!("{key}={good}\n{key}={bad}"));
        assert_eq!(after.load_state, LoadState::Loaded, "{key}");
        assert_eq!(after.service, before.service, "{key}");
        assert!(!after.warnings.is_empty(), "{key}");
    }
}

#[test]
fn ten_thousand_drop_ins_are_read_in_the_order_of_their_names() {
    let mut files = Files::default();
    files.insert("/etc/systemd/system/x.service", "[Service]\nExecStart=/x\n");
    for index in 0..10_000 {
        let text = format!("[Unit]\nAfter=a{index}.service\n[Service]\nEnvironment=N={index} A{index}=1\n");
        files.insert(format!("/etc/systemd/system/x.service.d/{index:05}.conf"), text);
    }
    let unit = load(&files, "x.service", Profile::V252);
    assert_eq!(unit.drop_in_paths.len(), 10_000);
    assert_eq!(unit.after.len(), 10_000);
    let environment = unit.service.expect("a service").environment;
    assert_eq!(environment.len(), 10_001);
    assert_eq!(environment[0], ("N".into(), "9999".into()));
}

#[test]
fn a_hundred_thousand_commands_are_too_many_for_a_simple_service_alone() {
    let commands = "ExecStart=/bin/true\n".repeat(100_000);
    let oneshot = read("Service", &format!("Type=oneshot\n{commands}"));
    assert_eq!(oneshot.load_state, LoadState::Loaded);
    assert_eq!(oneshot.service.expect("a service").exec_start.len(), 100_001);
    let simple = read("Service", &commands);
    assert_eq!(simple.load_state, LoadState::BadSetting);
    assert!(simple.warnings.iter().any(|warning| warning.text.contains("more than one ExecStart= setting")));
}

#[test]
fn links_that_lead_in_circles_lead_nowhere() {
    let dir = "/etc/systemd/system";
    let mut files = Files::default();
    for index in 0..1000 {
        files.symlink(format!("{dir}/a{index}.service"), format!("{dir}/a{}.service", (index + 1) % 1000));
        files.symlink(format!("{dir}/x.service.d{index}"), format!("x.service.d{}", (index + 1) % 1000));
    }
    files.symlink(format!("{dir}/x.service.d"), "x.service.d0");
    files.symlink(format!("{dir}/self.service"), "self.service");
    files.insert(format!("{dir}/x.service"), "[Service]\nExecStart=/x\n");
    for name in ["a0.service", "self.service"] {
        assert_eq!(load(&files, name, Profile::V252).load_state, LoadState::NotFound, "{name}");
    }
    assert_eq!(load(&files, "x.service", Profile::V252).drop_in_paths, Vec::<String>::new());
}

/// A machine with five hundred units, each of which names the next one, the last the first.
fn circle(lines: impl Fn(&str) -> String) -> World {
    let mut files = Files::default();
    for index in 0..500 {
        let next = format!("u{:03}.service", (index + 1) % 500);
        let text = format!("[Unit]\n{}\n[Service]\nExecStart=/bin/x\n", lines(&next));
        files.insert(format!("/etc/systemd/system/u{index:03}.service"), text);
    }
    machine(files, Program::new("x", vec![Act::Serve]))
}

fn machine(files: Files, program: Program) -> World {
    let config = Config { profile: Profile::V252, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
    let mut world = World::new(config, files, Box::new(move |_, _| Launch::Runs(program.clone())));
    world.boot();
    world.take_happened();
    world
}

/// Starts a unit: what came of the request, and what the manager logged within a second.
fn start(world: &mut World, unit: &str) -> (Reply, Vec<String>) {
    world.request(Request::Job { verb: JobVerb::Start, unit: unit.into(), mode: JobMode::default() });
    world.run_for(Span::from_secs(1));
    let mut answer = None;
    let mut log = Vec::new();
    for (_, happened) in world.take_happened() {
        match happened {
            Happened::Replied(_, reply) => answer = Some(reply),
            Happened::Logged(message) => log.push(message.text),
            _ => {}
        }
    }
    (answer.expect("an answer"), log)
}

#[test]
fn hundreds_of_units_in_a_circle_start_unless_all_are_needed_in_order() {
    let mut needed = circle(|next| format!("Requires={next}"));
    start(&mut needed, "u000.service");
    assert_eq!(needed.manager().state("u499.service").1, "running");

    let mut ordered = circle(|next| format!("Requires={next}\nAfter={next}"));
    let (answer, _) = start(&mut ordered, "u000.service");
    assert!(matches!(&answer, Reply::Error(error) if error.message.contains("cyclic")), "{answer:?}");

    let mut wanted = circle(|next| format!("Wants={next}\nAfter={next}"));
    let (_, log) = start(&mut wanted, "u000.service");
    assert_eq!(log.iter().filter(|text| text.contains("deleted to break ordering cycle")).count(), 1);
    assert_eq!(wanted.manager().state("u000.service").1, "running");
}

#[test]
fn programs_that_fork_without_end_or_never_rest_do_not_hang_the_model() {
    let many = (0..2000).map(|_| Act::Fork(Box::new(Program::new("y", vec![Act::Serve])))).collect();
    for acts in [many, vec![Act::Notify("STATUS=x".into()), Act::Again(0)]] {
        let mut files = Files::default();
        let text = "[Service]\nNotifyAccess=all\nExecStart=/bin/x\nRestart=always\nRestartSec=200ms\n";
        files.insert("/etc/systemd/system/a.service", text);
        let mut world = machine(files, Program::new("x", acts));
        start(&mut world, "a.service");
        assert!(world.manager().n_restarts("a.service") > 1);
    }
}

#[test]
fn a_journal_of_strangers_is_read_or_refused() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(Record::from_json(&format!("{{\"__REALTIME_TIMESTAMP\":\"1\",\"A\":{deep}}}")).is_err());
    assert!(Record::from_json(&"{\"a\":".repeat(100_000)).is_err());
    let field = |index| format!(",\"F{index}\":\"x\",\"G{index}\":[\"{index}\",\"{index}\"]");
    let fields: String = (0..20_000).map(field).collect();
    let text = format!("{{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"m\"{fields}}}");
    let mut journal = Journal::new("0").with_limit(16 * MIB);
    journal.append(Record::from_json(&text).expect("a record"));
    let cleared = Record::new(IncidentTime::from_micros(1), IncidentTime::from_micros(0));
    journal.append(cleared.with("MESSAGE", "\u{1b}[2J\n".repeat(MIB / 8)));
    for format in Format::ALL {
        let mut out = Vec::new();
        journal.entries().for_each(|entry| Style::new(*format, 257).write(&mut out, &entry, None));
        // What a terminal would obey is left to the formats that are copies of the bytes.
        let copies = matches!(format, Format::Cat | Format::Export);
        assert_eq!(out.contains(&0x1b), copies, "{}", format.as_str());
    }
    let lines = StreamBuffer::default().push(&vec![b'x'; MIB]);
    assert!(lines.iter().all(|line| line.bytes.len() == 48 << 10 && line.line_break == LineBreak::LineMax));
}

#[test]
fn a_document_of_strangers_is_read_or_refused() {
    let head =
        "# T\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```ini unit=a.service\n[Service]\nExecStart=/x\n```\n\n";
    let tail = "\n```expect\nnever exit 0 for 1min\n```\n";
    let attempt = |text: String| {
        let _ = Scenario::parse("t.md", &text).map_err(|error| error.to_string());
    };
    for piece in
        ["> ", "- ", "  - ", "[", "![", "*", "_*", "`", "<a ", "<!--", "&", "\\", "|", "\0", "[a]: b\n", "    "]
    {
        attempt(format!("{head}{}{tail}", piece.repeat(20_000)));
    }
    for piece in ["$(", "`", "${", "<<E ", "\"", "'", "{ ", "( ", "for x in y; do "] {
        attempt(format!("{head}```console\n$ {}\n```\n{tail}", piece.repeat(20_000)));
    }
    for value in ["[", "{a=", "\"", "'''", "1", "-", "a."] {
        let text = format!("# T\n\n```toml scenario\nkind = {}\n```\n", value.repeat(20_000));
        let error = Scenario::parse("t.md", &text).expect_err("no kind is called that").to_string();
        assert!(error.contains("t.md:"), "{value}: {error:.300}");
    }
    for piece in ["unit.A = 1 and ", "start, ", "\"", "/", "(", "[A] "] {
        for claim in ["always ", "in order: ", "never log \"", "never log /", "3x "] {
            let text = format!("{claim}{}", piece.repeat(20_000));
            let _ = parse(&text, 0..text.len());
        }
    }
}

#[test]
fn noise_between_the_lines_of_a_unit_takes_away_nothing_but_by_a_continuation() {
    let noise = || proptest::collection::vec(proptest::sample::select(b"\\\n\0\r =[]#;%$\"'x\xff".as_slice()), 0..40);
    check((noise(), noise()), |(first, second)| {
        let mut text = b"[Service]\nExecStart=/bin/true\n".to_vec();
        text.extend(&first);
        text.extend(b"\n\n[Service]\nRestartSec=7s\n");
        text.extend(&second);
        let unit = Unit::parse("x.service", &text, Profile::V252);
        if unit.load_state == LoadState::Loaded {
            let kept = unit.service.expect("a service").restart_sec == Span::from_secs(7);
            prop_assert!(kept || first.contains(&b'\\'), "{:?}", String::from_utf8_lossy(&text));
        }
        Ok(())
    });
}
