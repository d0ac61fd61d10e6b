//! `relapse detect`: chunks, hostile inputs, large files, following, and errors.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use relapse::detect::{Cause, Detector, Ended, Report, Search, Settings, Signature, Skimmer, Study};
use rstest::rstest;

use crate::detect_corpus::story::Dice;

fn judged(bytes: &[u8], chunk: usize) -> Report {
    let mut detector = Detector::new(Settings::default());
    bytes.chunks(chunk).for_each(|chunk| detector.feed(chunk));
    detector.finish()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/logs/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[rstest]
#[case("incident.journal.json")]
#[case("incident.short-iso-precise.txt")]
#[case("incident/app.log")]
fn the_recorded_incident_is_one_loop_however_it_is_cut(#[case] name: &str) {
    let bytes = fixture(name);
    let whole = judged(&bytes, bytes.len());
    assert_eq!(whole.loops.len(), 1, "{whole:?}");
    assert_eq!(whole.loops[0].ended, Ended::Ongoing);
    for chunk in [1, 7, 4096] {
        assert_eq!(judged(&bytes, chunk), whole, "{chunk}");
    }
}

/// An application's log with a request every 25 ms and a start every 14.5 s that cannot bind.
fn application(bytes: usize) -> String {
    let (mut text, mut milli, mut next) = (String::new(), 0u64, 3_000);
    while text.len() < bytes {
        let stamp = |milli: u64| {
            let second = milli / 1000;
            format!(
                "2026-01-{:02} {:02}:{:02}:{:02},{:03}",
                1 + second / 86_400,
                second / 3600 % 24,
                second / 60 % 60,
                second % 60,
                milli % 1000
            )
        };
        if milli >= next {
            next += 14_500;
            let at = stamp(milli);
            text += &format!(
                "{at} INFO FSM Running session recovery on startup\n{at} INFO FSM Session recovery complete\n"
            );
            text += "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use\n";
        }
        let id = milli.wrapping_mul(0x9e37_79b9) % 1_000_003;
        text += &format!("{} INFO access 10.0.0.{} GET /messages/{id} 200 {}ms\n", stamp(milli), id % 255, id % 97);
        milli += 25;
    }
    text
}

#[rstest]
#[case::two_long_words(&["Started server process [", "ddress already in use"])]
#[case::three_long_words_that_overlap(&["abababababababababababab", "babababababababababababa", "aaaaaaaaaaaaaaaaaaaaaaa"])]
#[case::some_of_a_dozen_bytes(&["abbaabbaabbaa", "unning on http://", "bbbbbbbbbbbbb"])]
#[case::some_short_ones(&["in use", "abb", "EADDRINUSE", "aab"])]
#[case::some_of_seven_bytes(&[" in use", " already ", "abababa", "baababa"])]
#[case::one_of_a_byte(&["a"])]
fn a_search_finds_each_word_at_each_place(#[case] words: &[&str]) {
    let search = Search::new(words);
    let mut dice = Dice::of("searches");
    let mut roll = |sides: usize| (dice.next() % sides as u64) as usize;
    let mut all = 0;
    for length in 0..600 {
        // Words at all distances from each other and from both ends, also cut ones, among bytes that they have, too.
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match roll(4) {
                0 => bytes.extend_from_slice(words[roll(words.len())].as_bytes()),
                1 => bytes.push(0),
                _ => (0..roll(9)).for_each(|_| bytes.push(b"ab"[roll(2)])),
            }
        }
        bytes.truncate(length);
        let is_there = |at: usize, word: &str| bytes[at..].starts_with(word.as_bytes());
        let there = (0..length).flat_map(|at| (0..words.len()).map(move |word| (at, word)));
        let there: Vec<_> = there.filter(|(at, word)| is_there(*at, words[*word])).collect();
        let mut found = Vec::new();
        search.each(&bytes, |at, word| found.push((at, word)));
        found.sort_unstable();
        assert_eq!(found, there, "{:?}", bytes.escape_ascii().to_string());
        all += found.len();
    }
    assert!(all > 1_000, "{all}");
}

#[test]
fn a_large_log_comes_to_the_same_whether_all_of_it_is_read_or_what_matters() {
    let text = application(4 << 20);
    let bytes = text.as_bytes();
    let whole = judged(bytes, 1 << 16);
    assert_eq!(whole.loops.len(), 1, "{whole:?}");
    assert_eq!(whole.loops[0].subject, "FSM Running session recovery on startup");
    assert_eq!(whole.loops[0].cause, Some(Cause::PortInUse { port: Some(8000) }));
    assert_eq!(whole.loops[0].signature, Signature::PortConflict);
    for (part, chunk) in PARTS {
        let mut study = Study::new(Settings::default());
        study.sample(&bytes[..200_000], true);
        study.sample(&bytes[bytes.len() - 200_000..], false);
        assert_eq!(skimmed(study, bytes, part, chunk), whole, "parts of {part}, chunks of {chunk}");
    }
}

/// Sizes of the parts that a log is skimmed by, and of what is read of them at once.
const PARTS: [(u64, usize); 5] = [(8 << 20, 1 << 19), (1 << 20, 100_003), (100_003, 4096), (5_001, 4096), (333, 61)];

/// What the lines that matter come to, of a log that is skimmed part by part; both ends are read in whole.
fn skimmed(study: Study, bytes: &[u8], part: u64, chunk: usize) -> Report {
    let (plan, mut reader) = study.plan().expect("nobody signs the lines");
    let size = bytes.len() as u64;
    for begin in (0..size).step_by(usize::try_from(part).expect("a size")) {
        let mut at = Skimmer::first(begin);
        let mut skimmer = Skimmer::new(&plan, begin..begin + part);
        while at < size && skimmer.needs_more() {
            let end = (at as usize + chunk).min(bytes.len());
            let end = if at < begin + part { end.min((begin + part) as usize) } else { end };
            match at < 100_000 || end as u64 > size - 100_000 {
                true => skimmer.read(&bytes[at as usize..end]),
                false => skimmer.skim(&bytes[at as usize..end]),
            }
            at = end as u64;
            // It may be taken whenever there is much of it.
            if skimmer.found() > 1_000 {
                reader.take(&skimmer.take());
            }
        }
        reader.take(&skimmer.finish(at == size));
    }
    reader.finish()
}

#[test]
fn a_large_log_of_uvicorns_has_all_of_its_starts() {
    // Its own first line has no stamp; lines that have one follow, and look like a start as well.
    let started = "INFO:     Started server process [4711]\nINFO:     Waiting for application startup.\n";
    let mut text = String::new();
    for (n, line) in application(4 << 20).lines().enumerate() {
        if line.contains("Running session recovery") {
            text += &started.replace("4711", &(4711 + n).to_string());
        }
        text += line;
        text.push('\n');
    }
    let bytes = text.as_bytes();
    let whole = judged(bytes, 1 << 16);
    for (part, chunk) in PARTS {
        for seen in [200_000, 0] {
            let mut study = Study::new(Settings::default());
            study.sample(&bytes[..seen], true);
            assert_eq!(skimmed(study, bytes, part, chunk), whole, "{seen} seen, parts of {part}, chunks of {chunk}");
        }
    }
    assert_eq!(whole.loops.len(), 1, "{whole:?}");
    assert_eq!(whole.loops[0].starts, text.matches("Started server process").count() as u64);
}

#[test]
fn a_large_file_comes_to_the_same_as_when_it_is_piped() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    fs::write(log.path(), application(17 << 20)).expect("written");
    let found = |input: &str, stdin: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
        let output = command.args(["detect", "--format", "json", input]).stdin(stdin).output().expect("relapse runs");
        let text = String::from_utf8(output.stdout).expect("JSON");
        text.split_once("\"verdict\"").expect("a verdict").1.to_owned()
    };
    let skimmed = found(log.path().to_str().expect("a path"), Stdio::null());
    assert!(skimmed.contains("port-conflict"), "{skimmed}");
    assert_eq!(skimmed, found("-", fs::File::open(log.path()).expect("the file").into()));
}

#[test]
fn a_large_log_of_nothing_but_starts_has_their_times() {
    let mut text = String::new();
    for n in 0..3_000u32 {
        let (hour, minute, second) = (n / 240, n / 4 % 60, n % 4 * 15);
        let at = format!("2026-01-16 {hour:02}:{minute:02}:{second:02},101");
        text += &format!(
            "INFO:     Started server process [{}]\nINFO:     Waiting for application startup.\n\
             {at} INFO FSM Running session recovery on startup\n{at} INFO FSM Session recovery complete\n\
             INFO:     Application startup complete.\n\
             ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use\n\
             INFO:     Waiting for application shutdown.\nINFO:     Application shutdown complete.\n",
            1000 + n
        );
    }
    let bytes = text.as_bytes();
    let whole = judged(bytes, 1 << 16);
    assert_eq!(whole.loops[0].starts, 3_000);
    for (part, chunk) in PARTS {
        let mut study = Study::new(Settings::default());
        study.sample(&bytes[..200_000], true);
        assert_eq!(skimmed(study, bytes, part, chunk), whole, "parts of {part}, chunks of {chunk}");
    }
}

#[test]
fn all_of_a_journal_is_read_however_large() {
    let mut study = Study::new(Settings::default());
    study.sample(&fixture("incident.short-iso-precise.txt"), true);
    assert!(study.plan().is_none());
}

#[test]
fn units_without_number_and_lines_without_end_take_bounded_memory() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("relapse runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    for n in 0..100_000u32 {
        let (minute, second) = (n / 60 % 60, n % 60);
        let stamp = format!("Jan 16 12:{minute:02}:{second:02} vm systemd[1]:");
        let lines = format!(
            "{stamp} Started u{n}.service - U.\n{stamp} u{n}.service: Scheduled restart job, restart counter is at {n}.\n"
        );
        stdin.write_all(lines.as_bytes()).expect("it reads");
    }
    stdin.write_all(&vec![b'x'; 16 << 20]).expect("it reads");
    // All but what fits into the pipe was read by now.
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process");
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    let most: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(most < 64 << 10, "{most} KiB");
}

#[test]
fn a_name_of_pm2s_keeps_its_own_colon() {
    let mut text = String::new();
    for n in 0..5 {
        text += &format!("2026-01-16T12:00:{:02}: PM2 log: App [shop:api:3] starting in -fork mode-\n", n * 4);
        text += &format!(
            "2026-01-16T12:00:{:02}: PM2 log: App [shop:api:3] exited with code [1] via signal [SIGINT]\n",
            n * 4 + 2
        );
    }
    assert_eq!(judged(text.as_bytes(), 4096).loops[0].subject, "shop:api");
    let bare = text.replace(":api:3]", ":api]");
    assert_eq!(judged(bare.as_bytes(), 4096).loops[0].subject, "shop:api");
}

#[test]
fn following_tells_when_a_loop_begins_and_ends() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "--follow", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("relapse runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&fixture("incident.short-iso-precise.txt")).expect("it reads");
    stdin
        .write_all(b"2026-11-23T16:44:30.000000+0000 vm systemd[1]: Stopping lumiera-whatsapp.service - X...\n")
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("-: a restart loop ends\n\nlumiera-whatsapp.service\n  starts    "), "{text}");
    assert!(text.starts_with("-: a restart loop begins\n"), "{text}");
}

#[test]
fn reports_that_follow_each_other_tell_what_changed() {
    let lines = String::from_utf8(fixture("incident.short-iso-precise.txt")).expect("text");
    let mut detector = Detector::new(Settings::default());
    let mut begun = 0;
    let mut before = detector.so_far();
    for line in lines.lines() {
        detector.feed(line.as_bytes());
        detector.feed(b"\n");
        let now = detector.so_far();
        begun += now.since(&before).len();
        before = now;
    }
    assert_eq!(begun, 1, "it begins once");
}

#[rstest]
#[case(&["/no/such.log"], "/no/such.log: there is no such file")]
#[case(&["/"], "/: it is a directory, expected a log")]
#[case(&["--banner", "(", "x"], "unclosed group")]
#[case(&["--banner", "", "x"], "an empty one matches every line")]
#[case(&["--hold", "soon", "x"], "expected a time span such as 1h")]
#[case(&["--min-restarts", "0", "x"], "0 is not in 1..")]
#[case(&["--follow", "x", "y"], "--follow watches one input")]
fn bad_input_is_one_clear_error(#[case] arguments: &[&str], #[case] wanted: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_relapse")).arg("detect").args(arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(wanted) && output.stdout.is_empty(), "{said}");
}

#[test]
fn a_packed_file_that_is_broken_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in [("a.gz", &b"\x1f\x8b\x08\x00broken"[..]), ("a.zst", b"\x28\xb5\x2f\xfdbroken")] {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_relapse")).arg("detect").arg(&path).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(name), "{said}");
    }
}
