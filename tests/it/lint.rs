//! `relapse lint`: each rule finds what it is for and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use relapse::Scenario;
use relapse::expect::Source;
use relapse::lint::{Finding, Options, RULES, Severity, lint};
use relapse::manager::Exit;
use relapse::time::Span;
use relapse::unit::{Files, Item, Outline, Profile, load, signal};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lint")
}

/// The files below a directory, by their path there.
fn below(directory: &Path) -> BTreeMap<String, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(at) = open.pop() {
        for path in fs::read_dir(at).expect("a directory").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below").to_string_lossy().into_owned();
                found.insert(name, fs::read_to_string(&path).expect("a text"));
            }
        }
    }
    found
}

/// What the first line of a fixture asks for: `# lint: --starts-in 4.4s --exits 0`.
fn options(text: &str, together: Vec<String>) -> Options {
    let mut options = Options { together, ..Options::default() };
    let Some(line) = text.lines().next().and_then(|line| line.strip_prefix("# lint: ")) else { return options };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    for pair in words.chunks(2) {
        match pair {
            ["--profile", "257"] => options.profile = Profile::V257,
            ["--profile", "260"] => options.profile = Profile::V260,
            ["--starts-in", span] => options.starts_in = Some(Span::parse(span).expect("a span")),
            ["--exits", how] => {
                let signal = || Exit::Signal(signal::from_name(how).expect("a signal"));
                options.exits = Some(how.parse().map_or_else(|_| signal(), Exit::Code));
            }
            other => panic!("{other:?} in {line}"),
        }
    }
    options
}

fn files(texts: &BTreeMap<String, String>) -> Files {
    let mut files = Files::default();
    for (name, text) in texts {
        files.insert(format!("/etc/systemd/system/{name}"), text.as_bytes());
    }
    files
}

/// Findings as `FILE:LINE:COLUMN severity rule`, with what is marked, the message and the fix.
fn told(texts: &BTreeMap<String, String>, findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let name = finding.file.trim_start_matches("/etc/systemd/system/");
        let source = Source::new(name, texts.get(name).cloned().unwrap_or_default());
        let at = source.position(finding.span.start);
        let marked = source.slice(finding.span.clone());
        let severity = finding.severity.as_str();
        out.push_str(&format!("{name}:{}:{} {severity} {}\n  {marked}\n", at.line, at.column, finding.rule.id));
        out.push_str(&format!("  {}: {}\n", finding.label, finding.message));
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            out.push_str(&format!("    {line}\n"));
        }
    }
    if out.is_empty() { "nothing\n".to_owned() } else { out }
}

#[test]
fn every_rule_finds_what_it_is_for_and_lets_pass_what_is_right() {
    let mut tried: BTreeSet<&str> = BTreeSet::new();
    let mut wrong = Vec::new();
    for rule in RULES {
        let directory = root().join(rule.id);
        assert!(directory.is_dir(), "fixtures/lint has no {}", rule.id);
        let texts = below(&directory);
        let units: Vec<String> = texts.keys().filter(|name| name.ends_with(".service")).cloned().collect();
        let files = files(&texts);
        let (mut fired, mut clean) = (0, 0);
        let mut all = String::new();
        for unit in &units {
            let together = if rule.id == "two-units-for-one-port" { units.clone() } else { Vec::new() };
            let findings = lint(&files, unit, &options(&texts[unit], together));
            let found = findings.iter().any(|finding| finding.rule.id == rule.id);
            let wanted = unit.starts_with("fires");
            assert!(wanted || unit.starts_with("clean"), "{}/{unit} neither fires nor is clean", rule.id);
            if found != wanted {
                wrong.push(format!("{}/{unit}:\n{}", rule.id, told(&texts, &findings)));
            }
            if wanted {
                fired += 1
            } else {
                clean += 1
            }
            all.push_str(&format!("== {unit}\n{}\n", told(&texts, &findings)));
        }
        assert!(fired > 0 && clean > 0, "{}: {fired} that fire, {clean} that are clean", rule.id);
        insta::with_settings!({
            snapshot_path => "../../fixtures/lint",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(rule.id, all);
        });
        tried.insert(rule.id);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for entry in fs::read_dir(root()).expect("a directory").flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(tried.contains(name.as_str()), "fixtures/lint/{name} is no rule");
    }
}

/// What a page says that its unit does wrong is what the rules find in it.
const PAGES: &[(&str, &str)] = &[
    ("incident.md", "limit-never-bites"),
    ("incident.md", "bind-error-restarts"),
    ("traps/unit-as-printed-in-the-report.md", "inline-comment"),
    ("traps/start-limit-in-the-service-section.md", "limit-in-wrong-section"),
    ("traps/exec-start-pre-that-waits-too-long.md", "start-pre-waits-too-long"),
    ("variants/a-child-that-is-left-over.md", "kill-mode-leaves-processes"),
    ("variants/two-units-for-one-port.md", "two-units-for-one-port"),
    ("variants/a-growing-delay.md", "limit-never-bites"),
    ("fixes/exec-start-pre-that-kills-the-holder.md", "kills-blindly"),
    ("non-fixes/exec-start-pre-that-may-not-kill.md", "kills-blindly"),
    ("non-fixes/exec-start-pre-that-looks-at-the-port.md", "start-pre-fails-on-busy-port"),
    ("limits/exec-start-pre-and-a-short-restartsec.md", "start-pre-fails-on-busy-port"),
    ("limits/exec-condition-that-looks-at-the-port.md", "condition-looks-at-port"),
    ("limits/restart-prevent-exit-status-1.md", "prevent-misses-bind-error"),
    ("non-fixes/restart-prevent-exit-status-1-with-uvicorn-0.54.md", "prevent-misses-bind-error"),
    ("non-fixes/a-start-limit-shorter-than-the-loop.md", "limit-never-bites"),
    ("non-fixes/exit-0-with-type-notify.md", "notify-without-notifier"),
];

/// The units of a page as it writes them, by name below /etc/systemd/system.
fn units_of(page: &str) -> BTreeMap<String, String> {
    let scenario = Scenario::load(format!("scenarios/{page}")).unwrap_or_else(|error| panic!("{error}"));
    let name = |path: String| path.trim_start_matches("/etc/systemd/system/").to_owned();
    scenario.units().map(|block| (name(block.path()), block.text().to_owned())).collect()
}

fn profile_of(page: &str) -> Profile {
    Scenario::load(format!("scenarios/{page}")).map(|scenario| scenario.settings.profile).unwrap_or_default()
}

#[test]
fn the_units_of_the_library_have_the_mistakes_that_its_pages_tell_of() {
    let mut all = String::new();
    for page in crate::library::pages() {
        let texts = units_of(&page);
        let files = files(&texts);
        let units: Vec<String> = texts.keys().filter(|name| name.ends_with(".service")).cloned().collect();
        let options = Options { profile: profile_of(&page), together: units.clone(), ..Options::default() };
        let mut rules: BTreeSet<&str> = BTreeSet::new();
        for unit in &units {
            rules.extend(lint(&files, unit, &options).iter().map(|finding| finding.rule.id));
        }
        for (_, rule) in PAGES.iter().filter(|(known, _)| *known == page) {
            assert!(rules.contains(rule), "{page} has no {rule}: {rules:?}");
        }
        let rules: Vec<&str> = rules.into_iter().collect();
        all.push_str(&format!("{page}: {}\n", rules.join(" ")));
    }
    insta::with_settings!({
        snapshot_path => "../../fixtures/lint",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!("library", all);
    });
}

/// Rules that say what systemd says, in other words.
const SYNTAX: &[&str] = &[
    "inline-comment",
    "wrong-case",
    "quoted-value",
    "bad-value",
    "unknown-key",
    "wrong-section",
    "limit-in-wrong-section",
    "key-from-later-version",
    "unknown-section",
    "not-an-assignment",
    "outside-section",
    "refused",
    "systemd-warns",
    "kill-mode-leaves-processes",
    "restart-steps-incomplete",
];

/// What systemd warns of and how often the rules say so, where that is not once.
fn not_once(texts: &BTreeMap<String, String>, unit: &str, profile: Profile) -> Vec<String> {
    let files = files(texts);
    let findings = lint(&files, unit, &Options { profile, ..Options::default() });
    let loaded = load(&files, unit, profile);
    let mut wrong = Vec::new();
    let mut lines: BTreeSet<(String, u32)> = BTreeSet::new();
    for warning in &loaded.warnings {
        let Some(line) = warning.line else {
            let told = findings
                .iter()
                .any(|finding| SYNTAX.contains(&finding.rule.id) && finding.message.contains(&warning.text));
            if !told && !warning.text.starts_with("Unit configuration has fatal error") {
                wrong.push(format!("nobody says: {}", warning.text));
            }
            continue;
        };
        lines.insert((warning.subject.clone(), line));
    }
    for (file, line) in lines {
        let outline = Outline::of(files.read(&file).unwrap_or_default());
        let told = findings.iter().filter(|finding| {
            let its = |item: &&Item| item.line == line && item.span().contains(&finding.span.start);
            // That the unit is refused as a whole stands at its header.
            let whole = finding.message.starts_with("systemd refuses the unit: ");
            finding.file == file
                && !whole
                && SYNTAX.contains(&finding.rule.id)
                && outline.items.iter().any(|item| its(&item))
        });
        let told = told.count();
        if told != 1 {
            wrong.push(format!("{file}:{line} is told {told} times\n{}", self::told(texts, &findings)));
        }
    }
    wrong
}

#[test]
fn what_systemd_warns_of_is_told_once() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    let mut look = |label: &str, texts: &BTreeMap<String, String>, unit: &str, profile: Profile| {
        tried += 1;
        wrong.extend(not_once(texts, unit, profile).into_iter().map(|what| format!("{label}: {what}")));
    };
    // What was recorded on systemd 252.
    let text = fs::read_to_string(root().join("../systemd/unit_file_parse.json")).expect("the table");
    let table: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for case in table["cases"].as_array().expect("cases") {
        let Some(file) = case["unit_file"].as_str().filter(|_| case["encoding"] == "utf8") else { continue };
        let texts = BTreeMap::from([("t.service".to_owned(), file.to_owned())]);
        look(case["id"].as_str().unwrap_or_default(), &texts, "t.service", Profile::V252);
    }
    let text = fs::read_to_string(root().join("../systemd/verify_252.json")).expect("the table");
    let table: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for case in table["cases"].as_array().expect("cases") {
        let text = |(name, text): (&String, &serde_json::Value)| Some((name.clone(), text.as_str()?.to_owned()));
        let texts: BTreeMap<String, String> =
            case["files"].as_object().into_iter().flatten().filter_map(text).collect();
        for unit in texts.keys().filter(|name| name.ends_with(".service") || name.ends_with(".socket")) {
            look(case["id"].as_str().unwrap_or_default(), &texts, unit, Profile::V252);
        }
    }
    for rule in RULES {
        let texts = below(&root().join(rule.id));
        for unit in texts.keys().filter(|name| name.ends_with(".service")) {
            let profile = options(&texts[unit], Vec::new()).profile;
            look(&format!("{}/{unit}", rule.id), &texts, unit, profile);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 200, "{tried} units");
}

/// The command, in a directory with these files; exit code, standard output, standard error.
fn run(arguments: &[&str], texts: &[(&str, &[u8])], stdin: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in texts {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("written");
    }
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_relapse"))
        .arg("lint")
        .args(arguments)
        .current_dir(directory.path())
        .write_stdin(stdin)
        .output()
        .expect("relapse runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const LOOPS: &str =
    "[Service]\nExecStart=/usr/bin/api\nRestart=always # on crashes\n\n[Install]\nWantedBy=multi-user.target\n";
const QUIET: &str = "[Service]\nExecStart=/usr/bin/api\n";

#[test]
fn the_unit_as_printed_names_both_comments_and_says_that_it_would_not_restart() {
    let text = fs::read(root().join("inline-comment/fires-as-printed.service")).expect("the unit");
    let (code, out, said) = run(&["api.service", "--starts-in", "4.44s"], &[("api.service", &text)], "");
    assert_eq!((code, said.as_str()), (Some(1), ""));
    insta::assert_snapshot!(out);
}

#[test]
fn the_unit_without_its_comments_is_told_that_the_default_limit_cannot_bite() {
    let text = fs::read(root().join("limit-never-bites/fires-default.service")).expect("the unit");
    let (code, out, said) = run(&["api.service", "--starts-in", "4.44s"], &[("api.service", &text)], "");
    assert_eq!((code, said.as_str()), (Some(1), ""));
    insta::assert_snapshot!(out);
}

#[test]
fn exit_codes_tell_clean_from_found_and_found_from_wrong() {
    let units: &[(&str, &[u8])] = &[("loops.service", LOOPS.as_bytes()), ("quiet.service", QUIET.as_bytes())];
    for (arguments, code) in [
        (&["quiet.service"][..], 0),
        (&["loops.service"], 1),
        (&["loops.service", "quiet.service"], 1),
        (&["loops.service", "--allow", "inline-comment"], 0),
        // A note that is denied is an error.
        (&["limited.service", "--deny", "no-restart-sec"], 2),
        (&["missing.service"], 2),
        (&["loops.service", "--allow", "inline-coment"], 2),
        (&["loops.service", "--profile", "200"], 2),
        (&["--list"], 0),
        (&["--explain", "inline-comment"], 0),
        (&[], 2),
    ] {
        let (found, out, said) = run(arguments, units, "");
        assert_eq!(found, Some(code), "{arguments:?}\n{out}{said}");
        assert_eq!(said.is_empty(), code != 2, "{arguments:?}\n{said}");
    }
    let limited = LOOPS.replace(" # on crashes", "");
    let units: &[(&str, &[u8])] = &[("limited.service", limited.as_bytes())];
    assert_eq!(run(&["limited.service"], units, "").0, Some(0), "notes alone are clean");
    assert_eq!(run(&["limited.service", "--deny", "no-restart-sec"], units, "").0, Some(1));
}

#[test]
fn a_comment_on_the_line_before_switches_a_rule_off() {
    let allowed = LOOPS.replace("Restart=", "# relapse: allow inline-comment\nRestart=");
    for (text, code) in [(LOOPS, 1), (&allowed, 0)] {
        assert_eq!(run(&["-"], &[], text).0, Some(code), "{text}");
    }
    // A blank line between them is too far.
    let far = LOOPS.replace("Restart=", "# relapse: allow inline-comment\n\nRestart=");
    assert_eq!(run(&["-"], &[], &far).0, Some(1));
}

#[test]
fn a_drop_in_is_looked_at_with_its_unit_or_alone() {
    let drop_in: &[u8] = b"[Service]\nRestart=always # on crashes\n";
    let both: &[(&str, &[u8])] = &[("a.service", QUIET.as_bytes()), ("a.service.d/x.conf", drop_in)];
    let alone: &[(&str, &[u8])] = &[("a.service.d/x.conf", drop_in)];
    let (_, with, _) = run(&["a.service.d/x.conf", "--format", "json"], both, "");
    let (_, unit, _) = run(&["a.service", "--format", "json"], both, "");
    let (code, without, _) = run(&["a.service.d/x.conf", "--format", "json"], alone, "");
    assert_eq!(with, unit);
    assert_eq!(code, Some(1));
    for out in [&with, &without] {
        assert!(out.contains(r#""file":"a.service.d/x.conf","line":2,"column":16,"end_column":28"#), "{out}");
    }
    assert!(with.contains("not restarted at all") && !without.contains("restarted at all"), "{without}");
    let of_all: &[(&str, &[u8])] = &[("service.d/x.conf", drop_in)];
    assert_eq!(run(&["service.d/x.conf"], of_all, "").0, Some(1));
}

#[test]
fn json_is_one_object_a_finding() {
    let (_, out, _) = run(&["-", "--format", "json", "--name", "api.service"], &[], LOOPS);
    insta::assert_snapshot!(out);
    for line in out.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("an object");
        let keys: BTreeSet<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let wanted = ["rule", "severity", "file", "line", "column", "end_column", "message", "fix"];
        assert_eq!(keys, BTreeSet::from(wanted));
    }
}

#[test]
fn github_annotations_cannot_be_broken_out_of() {
    let text = "[Service]\nExecStart=/usr/bin/api\nRestart=al%ways\u{1b}[31m::error::x # 100%\n";
    let (_, out, _) = run(&["a, b:c/x.service", "--format", "github"], &[("a, b:c/x.service", text.as_bytes())], "");
    assert!(
        out.lines().all(|line| line.starts_with("::error ")
            || line.starts_with("::warning ")
            || line.starts_with("::notice ")),
        "{out}"
    );
    assert!(out.contains("file=a%2C b%3Ac/x.service,line=3,col=9,"), "{out}");
    assert!(!out.contains('\u{1b}') && out.contains("al%25ways"), "{out}");
}

#[test]
fn sarif_has_every_rule_and_columns_in_utf_16() {
    // The emoji is one character and two code units.
    let text = "[Service]\nExecStart=/usr/bin/api\nEnvironment=A=\u{1f600} # x\n";
    let (code, out, _) =
        run(&["dir with space/x.service", "--format", "sarif"], &[("dir with space/x.service", text.as_bytes())], "");
    assert_eq!(code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    assert_eq!(run["columnKind"], "utf16CodeUnits");
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), RULES.len());
    for result in run["results"].as_array().expect("results") {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let level = result["level"].as_str().expect("a level");
        assert!(["note", "warning", "error"].contains(&level));
    }
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "dir%20with%20space/x.service");
    let region = &place["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(3), Some(18)));
    assert_eq!(region["endColumn"].as_u64(), Some(21));
}

#[test]
fn severities_are_the_rules_and_each_rule_says_what_to_do() {
    let mut ids = BTreeSet::new();
    for rule in RULES {
        assert!(ids.insert(rule.id), "{} twice", rule.id);
        assert!(
            rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{}",
            rule.id
        );
        assert!(rule.help.len() > 60 && !rule.help.contains("  "), "{}", rule.id);
        assert!(rule.severity >= Severity::Note);
    }
}
