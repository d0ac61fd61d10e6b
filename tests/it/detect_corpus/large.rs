//! What is too large to be stored, or is packed: made while the test runs.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::{check, home};

fn fixture(case: &str, file: &str) -> (Vec<u8>, Value) {
    let expected = fs::read(home().join(case).join("expected.json")).expect("a case");
    let expected: Map<String, Value> = serde_json::from_slice(&expected).expect("an object");
    (fs::read(home().join(case).join(file)).expect("a file"), expected[file].clone())
}

fn clean() -> Value {
    json!({"verdict": "clean", "loops": []})
}

fn agrees(bytes: &[u8], expected: &Value) {
    if let Err(error) = check::bytes(bytes, expected) {
        panic!("{error}");
    }
}

/// CRC-32 as RFC 1952 has it, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A gzip member whose blocks are stored (RFC 1951, 3.2.4).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let chunks: Vec<&[u8]> = bytes.chunks(30_000).collect();
    for (n, chunk) in chunks.iter().enumerate() {
        let length = u16::try_from(chunk.len()).expect("short");
        out.push(u8::from(n + 1 == chunks.len()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out.extend(crc(bytes).to_le_bytes());
    out.extend(u32::try_from(bytes.len()).expect("short").to_le_bytes());
    out
}

/// A zstd frame with raw blocks (RFC 8878, 3.1.1).
fn zstd(bytes: &[u8]) -> Vec<u8> {
    // Magic; no checksum, no dictionary, a window of 1 MiB, size unknown.
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
    let chunks: Vec<&[u8]> = bytes.chunks(30_000).collect();
    for (n, chunk) in chunks.iter().enumerate() {
        let header = (u32::try_from(chunk.len()).expect("short") << 3) | u32::from(n + 1 == chunks.len());
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(chunk);
    }
    out
}

const FILES: [(&str, &str); 4] = [
    ("incident", "short.log"),
    ("incident-fixed", "journal.json"),
    ("incident", "app.log"),
    ("deploys", "short-full.log"),
];

#[test]
fn packed_inputs_are_read_as_what_is_in_them() {
    for (case, file) in FILES {
        let (bytes, expected) = fixture(case, file);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        agrees(&bytes, &expected);
        agrees(&gzip(&bytes), &expected);
        agrees(&zstd(&bytes), &expected);
        // Files that were put together by `cat`, as both formats allow.
        agrees(&[gzip(first), gzip(second)].concat(), &expected);
        agrees(&[zstd(first), zstd(second)].concat(), &expected);
    }
}

#[test]
fn what_the_real_gzip_and_zstd_have_packed_is_read() {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs/detect-packed");
    for (case, file, name) in
        [("incident-fixed", "journal.json", "incident-fixed.json"), ("wording-239", "short.log", "wording-239.log")]
    {
        for end in ["gz", "zst"] {
            let (_, expected) = fixture(case, file);
            if let Err(error) = check::file(&packed.join(format!("{name}.{end}")), &expected) {
                panic!("{name}.{end}:\n{error}");
            }
        }
    }
}

#[test]
fn packed_inputs_that_are_cut_are_an_error_that_names_them() {
    let (bytes, _) = fixture("incident", "short.log");
    for packed in [gzip(&bytes), zstd(&bytes)] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cut.log");
        fs::write(&path, &packed[..packed.len() - 2_000]).expect("a file");
        let output =
            Command::new(env!("CARGO_BIN_EXE_relapse")).args(["detect"]).arg(&path).stdin(Stdio::null()).output();
        let output = output.expect("detect ran");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("cut.log"), "{stderr}");
    }
}

#[test]
fn a_line_of_a_mebibyte_hides_nothing() {
    for (case, file) in FILES {
        let (bytes, expected) = fixture(case, file);
        let middle = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        let line = [b"Jan 16 12:19:01 web1 dump[9]: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
        let line = if file.ends_with(".json") {
            format!("{{\"__REALTIME_TIMESTAMP\":\"1768565940500000\",\"SYSLOG_IDENTIFIER\":\"dump\",\"_PID\":\"9\",\"MESSAGE\":\"{}\"}}\n", "x".repeat(1 << 20))
                .into_bytes()
        } else if file == "app.log" {
            [vec![b'y'; 1 << 20], b"\n".to_vec()].concat()
        } else {
            line
        };
        agrees(&[&bytes[..middle], &line, &bytes[middle..]].concat(), &expected);
        agrees(&[line.as_slice(), &bytes].concat(), &expected);
        // A last line that never ends.
        agrees(&[&bytes, &line[..line.len() - 1]].concat(), &expected);
    }
    agrees(&vec![b'\n'; 1 << 20], &clean());
    agrees(&vec![0; 4 << 20], &clean());
    agrees(&vec![b'['; 4 << 20], &clean());
}

#[test]
fn a_loop_stays_one_when_a_day_of_it_is_read() {
    // 5,958 starts at 14.5 s, each with another PID: `starts` counts them all, in bounded memory.
    let (mut text, begin) = (String::new(), 1_768_565_940_000i64);
    let starts = 86_400_000 / 14_500;
    let stamp = |milli: i64| {
        jiff::Timestamp::from_millisecond(milli)
            .expect("a moment")
            .strftime("%Y-%m-%dT%H:%M:%S.%3f000+0000")
            .to_string()
    };
    for n in 0..starts {
        let at = begin + n * 14_500;
        let unit = "app.service: Main process exited, code=exited, status=1/FAILURE";
        if n > 0 {
            let text_of = format!("app.service: Scheduled restart job, restart counter is at {n}.");
            text += &format!("{} web1 systemd[1]: {text_of}\n", stamp(at - 20));
        }
        text += &format!("{} web1 systemd[1]: Started app.service - App.\n", stamp(at));
        text += &format!("{} web1 app[{}]: no database\n", stamp(at + 4_000), 10_000 + n * 3);
        text += &format!("{} web1 systemd[1]: {unit}\n", stamp(at + 4_300));
        text += &format!("{} web1 systemd[1]: app.service: Failed with result 'exit-code'.\n", stamp(at + 4_301));
    }
    let gap = json!({"min": 14_500_000, "median": 14_500_000, "max": 14_500_000});
    let found = json!({
        "subject": "app.service", "signature": "restart-counter", "starts": starts, "first": "2026-01-16T12:19:00Z",
        "last": "2026-01-17T12:18:36.5Z", "period_us": gap, "periodic": true,
        "cause": {"kind": "exit-code", "status": 1}, "ended": "ongoing",
    });
    agrees(text.as_bytes(), &json!({"verdict": "loop", "loops": [found]}));
}

#[test]
fn many_subjects_are_no_loop_and_cost_little() {
    let mut text = String::new();
    for n in 0..30_000 {
        let second = n / 2;
        let at = format!("Jan 16 {:02}:{:02}:{:02} web1", 1 + second / 3600, second / 60 % 60, second % 60);
        text += &format!("{at} systemd[1]: Started job{n}.service - Job {n}.\n");
        text += &format!("{at} prog{n}[{}]: starting up, version {n}\n", 100 + n);
        text += &format!("{at} systemd[1]: job{n}.service: Deactivated successfully.\n");
    }
    agrees(text.as_bytes(), &clean());
}

#[test]
fn several_inputs_are_answered_in_their_order_and_one_loop_decides() {
    let paths =
        [home().join("deploys/short.log"), home().join("incident/short.log"), home().join("two-boots/journal.json")];
    let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "--format", "json"])
        .args(&paths)
        .stdin(Stdio::null())
        .output()
        .expect("detect ran");
    assert_eq!(output.status.code(), Some(1));
    let answers: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an answer a line"))
        .collect();
    let verdicts: Vec<&str> = answers.iter().filter_map(|answer| answer["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["clean", "loop", "clean"]);
    for (answer, path) in answers.iter().zip(&paths) {
        assert_eq!(answer["input"], path.display().to_string());
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it_and_the_others_are_answered() {
    let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "--format", "json", "/nonexistent/app.log"])
        .arg(home().join("incident/short.log"))
        .stdin(Stdio::null())
        .output()
        .expect("detect ran");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/app.log"));
}

#[test]
fn the_text_for_people_lets_no_escape_sequence_through() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("detect ran");
    let mut text = String::new();
    for n in 0..6 {
        let at = format!("2026-01-16 12:2{n}:{:02}", 7 * n);
        text +=
            &format!("{at} [{n}77] INFO \u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mservice\u{202e} starting, version 1\n");
    }
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}
