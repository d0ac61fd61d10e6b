//! Documents become scenarios: blocks, places, times, names, and what extends what.

use std::collections::BTreeMap;

use relapse::scenario::{Kind, Loader, Scenario, StepKind, When};
use relapse::time::Span;

/// Documents by path.
pub struct Shelf(BTreeMap<String, String>);

impl Shelf {
    /// All documents below `fixtures/documents`.
    pub fn fixtures() -> Self {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents");
        let mut shelf = BTreeMap::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("the fixtures are there") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                    shelf.insert(name, std::fs::read_to_string(&path).expect("a readable document"));
                }
            }
        }
        Self(shelf)
    }

    /// The paths of the documents below a directory.
    pub fn below(&self, directory: &str) -> Vec<String> {
        self.0.keys().filter(|path| path.starts_with(directory)).cloned().collect()
    }
}

impl Loader for Shelf {
    fn read(&self, path: &str) -> Result<String, String> {
        let mut parts = Vec::new();
        for part in path.split('/') {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        self.0.get(&parts.join("/")).cloned().ok_or_else(|| "no such file".into())
    }
}

#[test]
fn an_incident_has_its_blocks_in_order_and_in_phases() {
    let scenario = Scenario::load_with("good/incident.md", &Shelf::fixtures()).expect("a good document");
    assert_eq!(scenario.title, "Two owners of one port");
    assert_eq!(scenario.kind, Kind::Incident);
    assert_eq!(scenario.unit.as_deref(), Some("lumiera-whatsapp.service"));
    assert_eq!(scenario.settings.clock.to_string(), "2026-01-16 12:19:00.000000");
    assert_eq!(scenario.settings.first_pid, Some(3_368_901));
    let phases: Vec<&str> = scenario.phases.iter().map(|phase| phase.title.as_str()).collect();
    assert_eq!(phases, ["Somebody starts it by hand", "The service starts as well"]);
    let kinds: Vec<(&str, Option<usize>)> = scenario
        .steps
        .iter()
        .map(|step| {
            let name = match step.kind {
                StepKind::Program(_) => "program",
                StepKind::Unit(_) => "unit",
                StepKind::File(_) => "file",
                StepKind::Console(_) => "console",
                StepKind::Expect(_) => "expect",
            };
            (name, step.phase)
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("program", None),
            ("unit", None),
            ("file", None),
            ("console", Some(0)),
            ("console", Some(0)),
            ("console", Some(1)),
            ("expect", Some(1))
        ]
    );
    let program = &scenario.programs().next().expect("a program").program;
    let startups: Vec<Span> = [0, 1, 34, 35, 36, 1_000_000].iter().map(|nth| program.startup_of(*nth)).collect();
    let (long, short) = (Span::from_millis(4_400), Span::from_millis(4_350));
    assert_eq!(startups, [long, short, short, long, long, long]);
    assert!(scenario.files().next().expect("a file").is_executable());
    let consoles: Vec<When> = scenario.consoles().map(|console| console.when).collect();
    assert_eq!(consoles[..2], [When::Now, When::After(Span::from_secs(10))]);
    let When::At(at) = consoles[2] else { panic!("the third block has a time") };
    assert_eq!(at.to_string(), "2026-01-16 12:19:30.000000");
    let commands = &scenario.consoles().nth(2).expect("a third block").commands;
    assert_eq!(commands.len(), 3);
    assert_eq!((commands[2].text.as_str(), commands[2].status), ("systemctl is-active lumiera-whatsapp", 3));
    assert_eq!(commands[2].output[0].text, "activating");
    let claim = &scenario.expects().next().expect("claims").claims[0];
    assert_eq!(claim.line, 63);
    assert_eq!(claim.text, "5x log \"FSM Running session recovery on startup\" every 14s .. 15s");
}

#[test]
fn a_fix_runs_the_blocks_of_its_incident_first() {
    let shelf = Shelf::fixtures();
    let incident = Scenario::load_with("good/incident.md", &shelf).expect("a good document");
    let fix = Scenario::load_with("good/fixes/kill.md", &shelf).expect("a good document");
    assert_eq!(fix.inherited, incident.steps.len());
    assert_eq!(fix.steps.len(), incident.steps.len() + 2);
    assert_eq!(fix.settings, incident.settings);
    assert_eq!(fix.unit, incident.unit);
    assert_eq!(fix.steps.last().expect("a block").phase, Some(2));
    assert_eq!(fix.steps[0].location.source.path(), "good/incident.md");
    assert_eq!(fix.extends.as_deref(), Some("good/incident.md"));
}

#[test]
fn every_good_document_loads() {
    let shelf = Shelf::fixtures();
    for path in shelf.below("good/") {
        if let Err(error) = Scenario::load_with(&path, &shelf) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_bad_document_gives_one_error_that_shows_where_and_what_was_expected() {
    let shelf = Shelf::fixtures();
    let documents = shelf.below("bad/");
    assert!(documents.len() > 80, "the bad documents are there");
    for path in documents {
        let checked = Scenario::load_with(&path, &shelf).and_then(|scenario| scenario.check_writes());
        let error = match checked {
            Ok(()) => panic!("{path} loads"),
            Err(error) => error,
        };
        let position = error.position().unwrap_or_else(|| panic!("{path}: an error without a place"));
        let place = format!("{}:{}:{}", error.path(), position.line, position.column);
        let rendered = error.to_string();
        assert!(rendered.contains(&place), "{path}: {place} is not in\n{rendered}");
        let name = path.trim_start_matches("bad/").trim_end_matches(".md").replace('/', "-");
        insta::with_settings!({
            snapshot_path => "../../fixtures/documents/bad",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(name, rendered);
        });
    }
}

#[test]
fn a_document_that_cannot_be_read_is_named() {
    let error = Scenario::load_with("nowhere.md", &Shelf::fixtures()).expect_err("no such document");
    assert_eq!(error.to_string(), "error: cannot read the scenario nowhere.md: no such file");
}

#[test]
fn an_absence_must_outlast_three_measured_periods() {
    let scenario = Scenario::load_with("good/fixes/kill.md", &Shelf::fixtures()).expect("a good document");
    // The document says `never refused 8000 for 5min`.
    assert!(scenario.check_absence(Span::from_millis(14_500)).is_ok());
    assert!(scenario.check_absence(Span::from_secs(100)).is_ok(), "three periods exactly are enough");
    let error = scenario.check_absence(Span::from_micros(100_000_001)).expect_err("too short");
    insta::assert_snapshot!(error, @r#"
    error: an absence of 5min proves nothing about a loop with a period of 1min 40.000001s
      --> good/fixes/kill.md:16:1
       |
    15 | eventually port 8000 owner = unit within 15s
    16 | never refused 8000 for 5min
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `for 5min 3us` or longer: three periods
    17 | exactly 1 log "FSM Running" for 5min
       |
    "#);
}

#[test]
fn a_time_that_has_passed_when_the_run_comes_to_it_is_an_error() {
    let scenario = Scenario::load_with("good/incident.md", &Shelf::fixtures()).expect("a good document");
    let console = scenario.consoles().nth(2).expect("a console with `at=`");
    let When::At(at) = console.when else { panic!("the third block has a time") };
    assert!(scenario.late(console, at).is_none());
    let error = scenario.late(console, at + Span::from_micros(1)).expect("late");
    insta::assert_snapshot!(error, @r"
    error: it is 2026-01-16 12:19:30.000001 when the run comes here
      --> good/incident.md:53:15
       |
    52 |
    53 | ```console at=12:19:30
       |               ^^^^^^^^ this time has passed
    54 | $ sudo systemctl enable lumiera-whatsapp
       |
       = help: the blocks before it take that long; give it a later time, or `after=SPAN`
    ");
    let untimed = scenario.consoles().next().expect("a console");
    assert!(scenario.late(untimed, at).is_none());
}

#[test]
fn the_run_owns_the_top_of_what_the_scenario_writes_but_not_of_what_the_host_needs() {
    let text = "# T\n\n```toml scenario\nkind = \"behaviour\"\ndirectory = \"/srv/app\"\n```\n\n```ini unit=a.service\n```\n\n\
                ```toml program=p\npath = [\"/opt/p/bin/p\", \"/usr/local/bin/p\"]\nlog-file = \"/data/log\"\n```\n\n\
                ```conf file=/etc/p.conf\n```\n\n```sh file=/home/x/run.sh\n```\n\n```expect\nat least 1 start\n```\n";
    let scenario = Scenario::parse("t.md", text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        scenario.own_paths(),
        [
            "/etc/systemd",
            "/run/systemd",
            "/var/log",
            "/home",
            "/opt",
            "/usr/local/bin/p",
            "/data",
            "/etc/p.conf",
            "/srv"
        ]
    );
}

#[test]
fn later_documents_set_only_what_differs() {
    let mut shelf = Shelf::fixtures();
    let text = "# Later\n\n```toml scenario\nkind = \"trap\"\nextends = \"good/incident.md\"\nsystemd = 257\nports = [9000]\n\
                budget = \"1h\"\n```\n\n```expect\nat least 1 start\n```\n";
    shelf.0.insert("later.md".into(), text.into());
    let base = Scenario::load_with("good/incident.md", &shelf).expect("a good document");
    let later = Scenario::load_with("later.md", &shelf).unwrap_or_else(|error| panic!("{error}"));
    let mut wanted = base.settings.clone();
    wanted.profile = relapse::unit::Profile::V257;
    wanted.ports = vec![9000];
    wanted.budget = Span::from_secs(3600);
    assert_eq!(later.settings, wanted);
    assert!(later.has_incident);
}

#[test]
fn what_a_terminal_would_obey_is_shown_and_not_sent() {
    let text = "# T\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```expect\n\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}never\n```\n";
    let error = Scenario::parse("\u{1b}[31mt.md", text).expect_err("not a claim").to_string();
    let obeyed: Vec<char> =
        error.chars().filter(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}')).collect();
    assert_eq!(obeyed, [], "{error}");
    assert!(error.contains("␛[31mt.md"), "{error}");
}

#[test]
fn line_ends_of_other_systems_do_not_matter() {
    let text = std::fs::read_to_string("fixtures/documents/good/incident.md").expect("a document");
    let text = text.replace('\n', "\r\n");
    let scenario = Scenario::parse("t.md", &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenario.consoles().nth(2).expect("a console").commands[2].text, "systemctl is-active lumiera-whatsapp");
    assert_eq!(scenario.consoles().nth(2).expect("a console").commands[2].output[0].text, "activating");
    assert_eq!(scenario.expects().next().expect("claims").claims.len(), 4);
}
