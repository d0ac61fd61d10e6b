//! `journalctl` against what journalctl 252 answered: every row of `fixtures/systemd/journalctl_252.json` is a command
//! line, the journal it was given, and what came out.

use relapse::ctl::Output;
use relapse::ctl::journalctl::journalctl;
use relapse::journal::{Journal, Record};
use relapse::time::IncidentTime;
use relapse::unit::Profile;
use serde_json::Value;

/// A journal from lines of `journalctl -o json`.
fn load(seqnum_id: &str, lines: &str) -> Journal {
    let mut journal = Journal::new(seqnum_id);
    for line in lines.lines() {
        journal.append(Record::from_json(line).expect("a recorded line is a record"));
    }
    journal
}

fn formats() -> Journal {
    load("aa0aefcc1a024a9a8d1b1fe9fd84a80a", include_str!("../../fixtures/logs/formats.journal.json"))
}

pub(crate) fn incident() -> Journal {
    load("b919cba8506d486e838445b899ad1af3", include_str!("../../fixtures/logs/incident.journal.json"))
}

pub(crate) fn run(args: &[&str], profile: Profile, now: IncidentTime, journal: &Journal) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    journalctl(&args, profile, now, journal)
}

/// Takes away what differs between two journals with the same records: cursors, and where the order of fields is
/// not specified, the order.
fn comparable(args: &[&str], output: &[u8]) -> Vec<Vec<u8>> {
    let unordered = ["verbose", "export", "json", "json-pretty", "json-seq", "json-sse"];
    if args.contains(&"--list-boots") {
        return vec![output.to_vec()];
    }
    let sorts = args.iter().any(|arg| unordered.contains(arg) || *arg == "-F");
    let mut lines: Vec<Vec<u8>> = output.split(|b| *b == b'\n').map(without_cursor).collect();
    if args.iter().any(|arg| ["json", "json-seq", "json-sse"].contains(arg)) {
        for line in &mut lines {
            let start = line.iter().position(|b| *b == b'{').unwrap_or(line.len());
            if let Ok(object) = serde_json::from_slice::<Value>(&line[start..]) {
                line.truncate(start);
                line.extend_from_slice(object.to_string().as_bytes());
            }
        }
    } else if args.contains(&"json-pretty") {
        // The last field of an object has no comma, whichever it is.
        for line in &mut lines {
            if line.last() == Some(&b',') {
                line.pop();
            }
        }
    }
    if sorts && !args.iter().any(|arg| ["json", "json-seq", "json-sse"].contains(arg)) {
        lines.sort();
    }
    lines
}

fn without_cursor(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line).into_owned();
    // `s=` and 32 digits stand before the number.
    match (text.find(";i="), text.find(";x=")) {
        (Some(number), Some(hash)) if number >= 34 && number < hash => {
            let end = text[hash + 3..].find(|c: char| !c.is_ascii_hexdigit()).map_or(text.len(), |n| hash + 3 + n);
            format!("{}CURSOR{}", &text[..number - 34], &text[end..]).into_bytes()
        }
        _ => line.to_vec(),
    }
}

/// Where we knowingly say something else, and what.
const OURS: &[(&[&str], &str)] = &[(&["--no-full", "-n", "1"], "refused: there is no terminal to be as wide as")];

const TABLE_252: &str = include_str!("../../fixtures/systemd/journalctl_252.json");
const TABLE_257: &str = include_str!("../../fixtures/systemd/journalctl_257.json");

/// The rows of a table, each with its journal's name and its words.
fn rows(table: &str) -> Vec<(String, Vec<String>, Value)> {
    let table: Value = serde_json::from_str(table).expect("the table is JSON");
    let rows = table["rows"].as_array().expect("rows");
    let row = |row: &Value| {
        let args = row["args"].as_array().expect("args");
        let args = args.iter().map(|arg| arg.as_str().expect("a word").to_owned()).collect();
        (row["journal"].as_str().expect("journal").to_owned(), args, row.clone())
    };
    rows.iter().map(row).collect()
}

fn compare(rows: &[(String, Vec<String>, Value)], profile: Profile) {
    let (formats, incident) = (formats(), incident());
    let mut wrong = Vec::new();
    for (name, args, row) in rows {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        if OURS.iter().any(|(ours, _)| *ours == args) {
            continue;
        }
        let journal = if name == "inc" { &incident } else { &formats };
        let now = IncidentTime::from_micros(row["now_us"].as_u64().expect("now_us"));
        let got = run(&args, profile, now, journal);
        let want_out: Vec<u8> = match &row["stdout"] {
            Value::String(text) => text.clone().into_bytes(),
            bytes => serde_json::from_value(bytes.clone()).expect("bytes"),
        };
        let want_err = row["stderr"].as_str().expect("stderr");
        let same = comparable(&args, &got.stdout) == comparable(&args, &want_out)
            && String::from_utf8_lossy(&got.stderr) == want_err
            && u64::from(got.code) == row["code"].as_u64().expect("code");
        if !same {
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(600).collect::<String>();
            wrong.push(format!(
                "journalctl {args:?}\n--- systemd: code {} stderr {want_err:?}\n{}\n--- we: code {} stderr {:?}\n{}",
                row["code"],
                show(&want_out),
                got.code,
                show(&got.stderr),
                show(&got.stdout),
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows differ\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
}

#[test]
fn every_recorded_command_line_gives_what_systemd_252_gave() {
    let rows = rows(TABLE_252);
    assert!(rows.len() >= 240, "the table has its rows");
    compare(&rows, Profile::V252);
}

#[test]
fn every_recorded_command_line_gives_what_systemd_257_gave() {
    let later = rows(TABLE_257);
    assert!(later.len() >= 50, "the table has its rows");
    let differs =
        |row: &(String, Vec<String>, Value)| later.iter().any(|other| (&other.0, &other.1) == (&row.0, &row.1));
    let mut all: Vec<_> = rows(TABLE_252).into_iter().filter(|row| !differs(row)).collect();
    all.extend(later.iter().cloned());
    compare(&all, Profile::V257);
}

#[test]
fn the_recorded_incident_reads_as_it_was_printed() {
    let printed = include_str!("../../fixtures/logs/incident.short-iso-precise.txt");
    let output = run(&["-o", "short-iso-precise"], Profile::V252, IncidentTime::NEVER, &incident());
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
}

#[test]
fn no_command_line_brings_it_down() {
    let words = [
        "-n",
        "-",
        "--",
        "+",
        "-b",
        "-9223372036854775808",
        "11111111111111111111111111111111+9",
        "é",
        "-p",
        "0..9..1",
        "-u",
        "[",
        "[!",
        "a[b-",
        "*?*?*?*?*",
        "--since",
        "@99999999999999999",
        "-o",
        "json",
        "short-delta",
        "verbose",
        "-g",
        "(a+)+$",
        "--until",
        "9999-12-31",
        "-f",
        "-r",
        "--output-fields",
        ",,",
        "-c",
        "s=;i=;t=zz",
        "s=a;i=ffffffffffffffff",
        "=",
        "A=",
        "-t",
        "",
        "-S",
        "-0",
        "--lines=18446744073709551616",
        "-e",
        "--list-boots",
        "-F",
        "-k",
    ];
    let journal = formats();
    let mut seed = 1u64;
    for _ in 0..4000 {
        let mut args = Vec::new();
        for _ in 0..5 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            args.push(words[usize::try_from(seed >> 33).expect("fits") % words.len()]);
        }
        for now in [IncidentTime::default(), IncidentTime::NEVER] {
            let output = run(&args, Profile::V257, now, &journal);
            assert!(output.code <= 1, "{args:?}");
        }
    }
}

/// Patterns from strangers: each is answered, at once, whatever it repeats.
#[test]
fn a_long_pattern_is_no_long_work() {
    let journal = formats();
    for piece in ["(", "[", "[[:", "{", "{1", "\\", "(?<", "(?", "(*", "[a-", "\\x{", "a{,", "\\Q", "(?#", "é", "[^]"]
    {
        let pattern = piece.repeat(20_000);
        for profile in [Profile::V252, Profile::V257] {
            let output = run(&["-g", &pattern, "-n", "1"], profile, IncidentTime::NEVER, &journal);
            assert!(output.code <= 1, "{piece}");
        }
    }
}

/// What PCRE2 takes, the engine here takes in its own words.
#[test]
fn patterns_mean_what_they_mean_to_perl() {
    for (pattern, message, matches) in [
        ("a{", "a{", true),
        ("{2}x", "x{2}x", false),
        ("\\Qa.b\\E+", "a.bbb", true),
        ("\\Qa.b", "axb", false),
        ("[a[b]", "[", true),
        ("[]x]", "]", true),
        ("[&&a]", "&", true),
        ("[[:digit:]x]+y", "12xy", true),
        ("(?#no)ab", "ab", true),
        ("(?<n>a)b", "ab", true),
        ("a++b", "aab", true),
        ("\\hx", "a\tx", true),
        ("a\\Z", "ba", true),
        ("<3>", "<3>", true),
        ("x{,2}y", "x{,2}y", true),
    ] {
        let mut journal = Journal::new("0".repeat(32));
        let now = IncidentTime::from_micros(1_795_451_344_261_714);
        journal.append(Record::new(now, now).with("_BOOT_ID", "1".repeat(32)).with("MESSAGE", message));
        let output = run(&["-q", "-o", "cat", "-g", pattern], Profile::V252, now, &journal);
        assert_eq!(output.stdout == format!("{message}\n").as_bytes(), matches, "{pattern} and {message}: {output:?}");
    }
}

/// Patterns, and which of `MESSAGES` libpcre2 10.42 finds with them, or what it says of them.
const PATTERNS: &[(&str, Result<&str, &str>)] = &[
    // Characters by their code, of which a message has 256.
    (r"\x{41}", Ok("A\n")),
    (r"\x4{", Ok("{")),
    (r"[\x41-\x5a]", Ok("A\n")),
    (r"\x{e9}", Ok("9")),
    (r"\xa9\z", Ok("é")),
    (r"\x{1F600}", Err(r"character code point value in \x{} or \o{} is too large")),
    (r"\x{}", Err(r"digits missing in \x{} or \o{} or \N{U+}")),
    (r"\x{4", Err(r"non-hex character in \x{} (closing brace missing?)")),
    (r"\101|\o{102}", Ok("A\n")),
    (r"\400", Err(r"octal value is greater than \377 in 8-bit non-UTF-8 mode")),
    (r"\ci", Ok("\t")),
    (r"\cé", Err(r"\c must be followed by a printable ASCII character")),
    // Sets are of bytes: é is two that are no letters.
    (r"^\w+$", Ok("A\n")),
    (r"^..$", Ok("é{")),
    (r"^é\b", Ok("")),
    (r"[^\x00-\x7f]", Ok("é9")),
    (r"\N{2}", Ok("é{")),
    (r"[\Q]{\E]", Ok("{")),
    ("[a&&b]", Ok("")),
    (r"[\h]", Ok("\t")),
    (r"[\d-z]", Err("invalid range in character class")),
    (r"[\N]", Err(r"\N is not supported in a class")),
    (r"[\R]", Err("escape sequence is invalid in character class")),
    (r"[\k]", Err("escape sequence is invalid in character class")),
    (r"\pQ", Err(r"unknown property after \P or \p")),
    ("[:alpha:]", Err("POSIX named classes are supported only within a class")),
    ("[[.a.]]", Err("POSIX collating elements are not supported")),
    // What has no width.
    (r"A$|A\Z", Ok("A\n")),
    (r"A\z", Ok("A")),
    (r".\G", Ok("")),
    ("A(?#of A)*\\z", Ok("A\n\té{9")),
    ("A \\z", Ok("")),
    ("(?x)A \\z # a comment", Ok("A")),
    ("(?^i:a)(?-)", Ok("A\n")),
    ("(?i-s-m)", Err("invalid hyphen in option setting")),
    ("(a)(?-2)", Err("reference to non-existent subpattern")),
    ("(?P>n)", Err("reference to non-existent subpattern")),
    ("(*NO)", Err("(*VERB) not recognized or malformed")),
    ("(?:a{65535}){65535}", Err("regular expression is too large")),
];

#[test]
fn patterns_find_what_pcre2_finds_and_what_is_wrong_with_one_is_said_in_its_words() {
    const MESSAGES: [(char, &[u8]); 6] =
        [('A', b"A"), ('\n', b"A\n"), ('\t', b"\t"), ('é', "é".as_bytes()), ('{', b"\x04{"), ('9', b"\xe9")];
    let now = IncidentTime::from_micros(1_768_566_000_000_000);
    for (pattern, expected) in PATTERNS {
        let mut found = Ok(String::new());
        for (mark, message) in MESSAGES {
            let mut journal = Journal::new("5c6f0e2b5f0c4d7f8a3b1c2d3e4f5061");
            journal.append(Record::new(now, now).with("MESSAGE", message));
            let args = ["--case-sensitive", "--output=cat", &format!("--grep={pattern}")];
            let output = run(&args, Profile::V252, now, &journal);
            if !output.stderr.is_empty() {
                found = Err(String::from_utf8(output.stderr).expect("a text"));
            } else if let (0, Ok(found)) = (output.code, &mut found) {
                found.push(mark);
            }
        }
        let expected = expected.map(ToOwned::to_owned).map_err(|why| format!("Bad pattern \"{pattern}\": {why}\n"));
        assert_eq!(found, expected, "{pattern}");
    }
}

#[test]
fn a_pattern_nests_as_deep_as_one_that_a_person_writes() {
    let now = IncidentTime::from_micros(1_768_566_000_000_000);
    let mut journal = Journal::new("5c6f0e2b5f0c4d7f8a3b1c2d3e4f5061");
    journal.append(Record::new(now, now).with("MESSAGE", "xyz"));
    let grep = |depth: usize| {
        let pattern = format!("--grep={}x{}", "x?(?:y|".repeat(depth), "z?)?".repeat(depth));
        run(&[&pattern, "--output=cat"], Profile::V252, now, &journal)
    };
    assert_eq!(grep(50).stdout, b"xyz\n");
    assert!(String::from_utf8_lossy(&grep(251).stderr).ends_with(": parentheses are too deeply nested\n"));
    assert_eq!((grep(249).code, grep(100_000).code), (1, 1));
}
