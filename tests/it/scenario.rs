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
