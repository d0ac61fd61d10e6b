//! Laws for bytes from anywhere. The targets in `fuzz/` look for bytes that break them; what they found, and what they
//! start from, lies in `fixtures/fuzzed/LAW/` and is tried here.

use std::collections::BTreeMap;

use relapse::control::{self, Decoder};
use relapse::ctl::journalctl::journalctl;
use relapse::detect::{Detector, Settings, Skimmer, Study};
use relapse::expect::{Context, Monitor, parse};
use relapse::journal::{
    Format, Journal, LineBreak, Matcher, Record, StreamBuffer, Style, Term, format_relative, format_timestamp,
    parse_timestamp,
};
use relapse::scenario::{Bindings, Scenario, StepKind, compare, scan, update};
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Ended, EventKind, Timeline, is_obeyed};
use relapse::unit::{Context as Specifiers, Files, LoadState, Loader, Profile, Unit, environment, expand, load, name};

/// 2026-01-16 12:19:00 UTC.
const NOW: IncidentTime = IncidentTime::from_micros(1_768_566_000_000_000);

/// The first byte chooses, the rest is the input.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}

fn profile(choice: usize) -> Profile {
    [Profile::V252, Profile::V257, Profile::V260][choice % 3]
}

/// Unit files: fragment and drop-ins, with a record separator (0x1e) between them.
pub fn unit(data: &[u8]) {
    const NAMES: [&str; 5] = ["x.service", "a-b@c-d.service", "x.socket", "x.target", "x@.service"];
    let (chosen, text) = choice(data);
    let (name, profile) = (NAMES[chosen / 3 % NAMES.len()], profile(chosen));
    let mut files = Files::default();
    for (index, part) in text.split(|byte| *byte == 0x1e).enumerate() {
        let path = if index == 0 {
            format!("/etc/systemd/system/{name}")
        } else {
            format!("/etc/systemd/system/{name}.d/{index}.conf")
        };
        files.insert(path, part);
    }
    for unit in [load(&files, name, profile), Unit::parse(name, text, profile)] {
        assert_eq!(unit.load_error.is_some(), unit.load_state != LoadState::Loaded, "{unit:?}");
        assert!(unit.properties().len() > 10);
        let printed = unit.to_text();
        if unit.load_state == LoadState::Loaded {
            means(&unit, &printed);
        }
    }
}

/// The text, read, means the unit.
fn means(unit: &Unit, text: &str) {
    let mut again = Unit::parse(&unit.name, text, unit.profile);
    let complaints = again.warnings.iter().filter(|w| w.line.is_some() && !w.text.contains("KillMode=none"));
    assert_eq!(complaints.count(), 0, "{:?}\n{text}", again.warnings);
    // What does not come from the settings of one file.
    again.warnings = unit.warnings.clone();
    again.fragment_path = unit.fragment_path.clone();
    again.drop_in_paths = unit.drop_in_paths.clone();
    again.drop_in_dirs = unit.drop_in_dirs.clone();
    assert_eq!(*unit, again, "{text}");
}

/// Spans and points in time.
pub fn time(data: &[u8]) {
    let (chosen, text) = choice(data);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let default_unit = [1, 1_000, 1_000_000, 60_000_000][chosen % 4];
    if let Ok(span) = Span::parse_with_unit(text, Span::from_micros(default_unit)) {
        let exact = span.format(Span::from_micros(1));
        assert_eq!(Span::parse(&exact), Ok(span), "{exact}");
        for accuracy in [1_000, 1_000_000, 60_000_000].map(Span::from_micros) {
            let coarse = span.format(accuracy);
            let back = Span::parse(&coarse).unwrap_or_else(|error| panic!("{coarse}: {error}"));
            assert!(span.is_infinite() || back <= span, "{coarse} is more than {exact}");
        }
    }
    if let Ok(moment) = parse_timestamp(text, NOW) {
        let _ = format_relative(moment, NOW);
        let printed = format_timestamp(moment);
        if let Ok(back) = parse_timestamp(&printed, NOW) {
            assert_eq!(format_timestamp(back), printed);
        }
    }
}

/// Command lines of `Exec…=`, environments, names and specifiers.
pub fn exec(data: &[u8]) {
    let (chosen, line) = choice(data);
    let mut file = b"[Service]\nType=oneshot\nExecStart=".to_vec();
    file.extend_from_slice(line);
    let unit = Loader::new(profile(chosen)).context(Specifiers::default()).parse("a-b@c-d.service", &file);
    if let Some(service) = &unit.service {
        let environment = [("A", "one 'two three' \""), ("B", "$A ${A}"), ("EMPTY", "")];
        for command in &service.exec_start {
            let argv = expand(command, &environment);
            let size = |words: &[String]| words.iter().map(|word| word.len() + 1).sum::<usize>();
            // A reference takes two bytes at least, and becomes as much as the longest value.
            assert!(size(&argv) <= 20 * size(&command.argv) + 20, "{command:?} → {argv:?}");
        }
    }
    if unit.load_state == LoadState::Loaded {
        means(&unit, &unit.to_text());
    }
    drop(environment::read_environment_file(line));
    let Ok(text) = std::str::from_utf8(line) else { return };
    if let Ok(mangled) = name::mangle(text, ".service") {
        assert!(name::is_valid(&mangled.name), "{}", mangled.name);
    }
    // systemd's strings end at a NUL.
    let whole = text.split('\0').next().unwrap_or_default();
    assert_eq!(name::unescape(&name::escape(text)).as_deref(), Ok(whole));
    let _ = name::glob_matches(text, "a-b@c-d.service");
}

/// Claims: read, and judged on a timeline with a bit of everything.
pub fn claims(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let claims = match parse(text, 0..text.len()) {
        Ok(claims) => claims,
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "{error:?}");
            return;
        }
    };
    for claim in &claims {
        assert_eq!(text.get(claim.span.clone()), Some(claim.text.as_str()));
        let again = parse(text, claim.span.clone()).expect("a claim stands for itself");
        assert_eq!(format!("{again:?}"), format!("{:?}", [claim]));
        for units in claim.units() {
            assert!(!units.is_empty());
        }
    }
    let vars = ["PID", "A", "B", "NEW", "OLD"].iter().map(|name| ((*name).to_owned(), "100".to_owned())).collect();
    let context = Context { unit: "a.service".into(), vars, budget: Span::from_secs(60), slack: Span::ZERO };
    let timeline = timeline();
    let Ok(mut monitor) = Monitor::begin(&claims, context, &Timeline::default(), NOW) else { return };
    monitor.follow(&timeline);
    let mut rounds = 0;
    while let Some(deadline) = monitor.next_deadline() {
        monitor.advance(deadline);
        rounds += 1;
        assert!(rounds <= claims.len() + 1, "deadlines go on for ever");
    }
    assert!(!monitor.is_open(), "what no deadline decides stays open");
}

/// A short loop: starts, a log line, a refused port, a restart.
fn timeline() -> Timeline {
    let mut timeline = Timeline::default();
    let unit = Some("a.service".to_owned());
    for cycle in 0..4u32 {
        let pid = 100 + cycle;
        let at = |millis: u64| NOW + Span::from_millis(u64::from(cycle) * 14_500 + millis);
        let role = Some("ExecStart".to_owned());
        let cmdline = "/opt/x --port 8000".to_owned();
        timeline.push(at(0), EventKind::Start { unit: unit.clone(), role: role.clone(), pid, ppid: 1, cmdline });
        let line = "[Errno 98] address already in use".to_owned();
        timeline.push(at(4000), EventKind::Log { unit: unit.clone(), pid: Some(pid), stream: "stdout".into(), line });
        timeline.push(at(4400), EventKind::Exit { unit: unit.clone(), role, pid, ended: Ended::Exited(1) });
    }
    timeline
}

/// Scenario documents.
pub fn scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let found = scan(text);
    assert!(found.targets.iter().all(|target| text.get(target.span.clone()).is_some()), "{found:?}");
    let scenario = match Scenario::parse("t.md", text) {
        Ok(scenario) => scenario,
        Err(error) => {
            let rendered = error.to_string();
            assert!(rendered.contains("error: ") && rendered.contains("t.md:"), "{rendered}");
            return;
        }
    };
    let mut outputs = Vec::new();
    let none = Bindings::new();
    for step in &scenario.steps {
        assert!(text.get(step.location.span.clone()).is_some(), "{:?}", step.location);
        let StepKind::Console(console) = &step.kind else { continue };
        for command in &console.commands {
            assert!(text.get(command.location.span.clone()).is_some());
            assert!(text.get(command.output_span.clone()).is_some());
            let _ = compare(&command.output, "1 2\n\n3\n", &none);
            outputs.push((command, "1 2\n\n3\n", &none));
        }
    }
    assert_eq!(update(&scenario.source, &[]), text, "an update without outputs changes nothing");
    drop(update(&scenario.source, &outputs));
}

/// The control protocol: however the bytes are cut, the same messages come out of them.
pub fn control(data: &[u8]) {
    let (chosen, bytes) = choice(data);
    let chunk = chosen % 16 + 1;
    match chosen / 16 % 4 {
        0 => messages::<control::ToRun>(bytes, chunk),
        1 => messages::<control::ToProcess>(bytes, chunk),
        2 => messages::<control::ToGuard>(bytes, chunk),
        _ => messages::<control::FromGuard>(bytes, chunk),
    }
}

fn messages<T: serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug>(bytes: &[u8], chunk: usize) {
    let all = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            decoder.push(chunk);
            loop {
                match decoder.take::<T>() {
                    Ok(Some(message)) => seen.push(message),
                    Ok(None) => break,
                    Err(_) => return (seen, true),
                }
            }
        }
        (seen, false)
    };
    let (seen, broken) = all(&mut bytes.chunks(chunk));
    let whole = all(&mut std::iter::once(bytes));
    assert_eq!(format!("{whole:?}"), format!("{:?}", (&seen, broken)));
    for message in &seen {
        let frame = control::encode(message).expect("what was read can be written");
        let (again, _) = all(&mut std::iter::once(frame.as_slice()));
        assert_eq!(format!("{again:?}"), format!("{:?}", [message]));
    }
    // The guard's messages come over a blocking stream.
    let mut decoder = Decoder::default();
    let mut stream = bytes;
    for message in &seen {
        let read = control::receive::<T>(&mut stream, &mut decoder).expect("the same message");
        assert_eq!(format!("{read:?}"), format!("{:?}", Some(message)));
    }
}

/// Journals as JSON lines, streams, matches and the patterns of `--grep=`.
pub fn journal(data: &[u8]) {
    let (chosen, bytes) = choice(data);
    lines(bytes, chosen + 1);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut journal = Journal::new("5c6f0e2b5f0c4d7f8a3b1c2d3e4f5061").with_limit(1 << 20);
    let mut terms = Vec::new();
    for line in text.split('\n') {
        if let Ok(record) = Record::from_json(line) {
            journal.append(record);
        } else if let Ok(term) = Term::parse(line) {
            terms.push(term);
        }
    }
    let records: Vec<Record> = journal.entries().map(|entry| entry.record.clone()).collect();
    for (record, line) in records.iter().zip(journal.json_lines(260)) {
        let line = String::from_utf8(line).expect("JSON is UTF-8");
        let again = Record::from_json(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(by_name(record), by_name(&again), "{line}");
        assert_eq!((record.realtime, record.monotonic), (again.realtime, again.monotonic));
    }
    let matcher = Matcher::conjunction(terms);
    for format in Format::ALL {
        let style = Style { all: chosen % 2 == 0, ..Style::new(*format, if chosen % 4 < 2 { 252 } else { 257 }) };
        let (mut out, mut previous) = (Vec::new(), None);
        for entry in journal.entries().filter(|entry| matcher.accepts(entry.record)) {
            style.write(&mut out, &entry, previous.as_ref());
            previous = Some(entry);
        }
    }
    drop(journal.boots());
    for pattern in text.split('\n').take(4) {
        grep(pattern, &journal, profile(chosen));
    }
}

/// `--grep=` takes a pattern or says what is wrong with it, and a text in quotes finds itself.
fn grep(pattern: &str, journal: &Journal, profile: Profile) {
    let run = |pattern: &str, journal| {
        journalctl(&[format!("--grep={pattern}"), "--output=cat".to_owned()], profile, NOW, journal)
    };
    let output = run(pattern, journal);
    if !output.stderr.is_empty() {
        let line = String::from_utf8(output.stderr).expect("a text");
        let reason =
            line.strip_prefix(&format!("Bad pattern \"{pattern}\": ")).and_then(|line| line.strip_suffix('\n'));
        assert!(reason.is_some_and(|reason| !reason.is_empty()), "{line}");
        assert_eq!((output.stdout.len(), output.code), (0, 1), "{pattern}");
    }
    if !pattern.contains("\\E") {
        let mut one = Journal::new("5c6f0e2b5f0c4d7f8a3b1c2d3e4f5061");
        one.append(Record::new(NOW, NOW).with("MESSAGE", pattern));
        assert_eq!(run(&format!("\\Q{pattern}\\E"), &one).code, 0, "{pattern} in quotes");
    }
}

/// Rules over units from anywhere: what they mark lies in the file, and says something.
pub fn lint(data: &[u8]) {
    const NAMES: [&str; 4] = ["x.service", "x.socket", "x@.service", "x.timer"];
    let (chosen, text) = choice(data);
    let name = NAMES[chosen / 3 % NAMES.len()];
    let mut files = Files::default();
    for (index, part) in text.split(|byte| *byte == 0x1e).enumerate() {
        let path = if index == 0 {
            format!("/etc/systemd/system/{name}")
        } else {
            format!("/etc/systemd/system/{name}.d/{index}.conf")
        };
        files.insert(path, part);
    }
    let options = relapse::lint::Options {
        profile: profile(chosen),
        starts_in: (chosen / 12 % 2 == 1).then_some(Span::from_millis(4_440)),
        partial: chosen / 24 % 2 == 1,
        ..Default::default()
    };
    let findings = relapse::lint::lint(&files, name, &options);
    assert!(findings.len() <= relapse::lint::MOST_FINDINGS);
    for finding in &findings {
        let bytes = files.read(&finding.file).unwrap_or_default();
        assert!(bytes.get(finding.span.clone()).is_some(), "{finding:?}");
        assert!(!finding.message.is_empty() && finding.message.len() < 4_000, "{finding:?}");
    }
    assert_eq!(findings, relapse::lint::lint(&files, name, &options));
}

/// The values of each field, in order.
fn by_name(record: &Record) -> BTreeMap<&str, Vec<&[u8]>> {
    let mut fields: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for (name, value) in record.fields.iter().filter(|(name, _)| name != "_BOOT_ID") {
        fields.entry(name).or_default().push(value);
    }
    fields
}

/// However a stream is cut, the same lines come out of it, and none is lost.
fn lines(bytes: &[u8], chunk: usize) {
    let all = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut buffer = StreamBuffer::default();
        let mut lines: Vec<_> = chunks.flat_map(|chunk| buffer.push(chunk)).collect();
        lines.extend(buffer.flush(LineBreak::Eof));
        lines
    };
    let whole = all(&mut std::iter::once(bytes));
    assert_eq!(all(&mut bytes.chunks(chunk)), whole);
    let ended = |line_break| usize::from(matches!(line_break, LineBreak::Newline | LineBreak::Nul));
    let size: usize = whole.iter().map(|line| line.bytes.len() + ended(line.line_break)).sum();
    assert_eq!(size, bytes.len());
}

/// Logs: however the bytes are cut, the same report comes of them, and it can be shown.
pub fn detect(data: &[u8]) {
    let (chosen, bytes) = choice(data);
    let all = |chunk: usize| {
        let mut detector = Detector::new(Settings::default());
        bytes.chunks(chunk).for_each(|chunk| detector.feed(chunk));
        detector.finish()
    };
    let whole = all(bytes.len().max(1));
    assert_eq!(all(chosen % 16 + 1), whole);
    let shown = [whole.to_text("a\u{1b}.log"), whole.to_json("a\u{1b}.log")].concat();
    assert!(!shown.chars().any(|c| c != '\n' && is_obeyed(c)), "{shown:?}");
    for found in &whole.loops {
        assert!(found.starts >= 2, "{found:?}");
        assert!(found.period_us.is_none_or(|period| period.min <= period.max), "{found:?}");
    }
    let mut study = Study::new(Settings::default());
    study.sample(bytes, true);
    let Some((plan, reader)) = study.plan() else { return };
    // All lines of all parts are the lines of the whole, wherever it is cut.
    let mut whole = reader.clone();
    let mut skimmer = Skimmer::new(&plan, 0..u64::MAX);
    skimmer.read(bytes);
    whole.take(&skimmer.finish(true));
    let whole = whole.finish();
    let (size, part) = (bytes.len() as u64, chosen as u64 % 251 + 1);
    for all in [true, false] {
        let mut reader = reader.clone();
        for begin in (0..size).step_by(part as usize) {
            let first = Skimmer::first(begin);
            let mut skimmer = Skimmer::new(&plan, begin..begin + part);
            let mut at = first as usize;
            while at < bytes.len() && skimmer.needs_more() {
                let rest = &bytes[at..];
                let chunk = &rest[..rest.len().min(chosen % 64 + 1)];
                if all {
                    skimmer.read(chunk)
                } else {
                    skimmer.skim(chunk)
                }
                at += chunk.len();
            }
            reader.take(&skimmer.finish(at == bytes.len()));
        }
        let found = reader.finish();
        assert!(!all || found == whole, "{found:?} is not {whole:?}");
    }
}

#[cfg(test)]
mod replay {
    type Law = fn(&[u8]);

    const LAWS: &[(&str, Law)] = &[
        ("unit", super::unit),
        ("time", super::time),
        ("exec", super::exec),
        ("claims", super::claims),
        ("scenario", super::scenario),
        ("control", super::control),
        ("journal", super::journal),
        ("lint", super::lint),
        ("detect", super::detect),
    ];

    #[test]
    fn what_fuzzing_found_stays_found() {
        for (law, check) in LAWS {
            let directory = format!("{}/fixtures/fuzzed/{law}", env!("CARGO_MANIFEST_DIR"));
            let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
            let mut tried = 0;
            for entry in entries {
                let path = entry.expect("an entry").path();
                let bytes = std::fs::read(&path).expect("a file");
                if let Err(cause) = std::panic::catch_unwind(|| check(&bytes)) {
                    eprintln!("fixtures/fuzzed/{law}/{}", path.file_name().unwrap_or_default().display());
                    std::panic::resume_unwind(cause);
                }
                tried += 1;
            }
            assert!(tried > 0, "{directory} is empty");
        }
    }

    #[test]
    fn every_law_has_its_target_and_every_target_its_law() {
        let directory = format!("{}/fuzz", env!("CARGO_MANIFEST_DIR"));
        // A package from the registry has no targets.
        let Ok(manifest) = std::fs::read_to_string(format!("{directory}/Cargo.toml")) else { return };
        let workflow = format!("{directory}/../.github/workflows/fuzz.yml");
        let workflow = std::fs::read_to_string(workflow).expect("a workflow");
        for (law, _) in LAWS {
            assert!(manifest.contains(&format!("name = \"{law}\"")), "fuzz/Cargo.toml has no target {law}");
            let target = std::fs::read_to_string(format!("{directory}/targets/{law}.rs")).expect("a target");
            assert!(target.contains(&format!("laws::{law}(")), "fuzz/targets/{law}.rs tries another law");
            assert!(workflow.contains(law), "the workflow forgets {law}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), LAWS.len());
    }
}
