//! Negative controls: every form of claim can be violated, and a fix that does nothing is found out.

use std::path::{Path, PathBuf};

use relapse::expect::Style;
use relapse::scenario::{Loader, StepKind};
use relapse::{Scenario, Verdict, report};
use rstest::rstest;

use crate::lockstep::options;

fn load(path: &Path) -> Scenario {
    let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
    match Scenario::load(path) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{}", error.render(Style::Plain)),
    }
}

#[rstest]
fn a_false_claim_is_violated_at_its_line(#[files("fixtures/documents/violated/*.md")] path: PathBuf) {
    let scenario = load(&path);
    let marked: Vec<u32> = (1u32..)
        .zip(scenario.source.text().lines())
        .filter_map(|(number, line)| line.ends_with("# violated").then_some(number))
        .collect();
    let outcome = scenario.run(&options()).expect("the run begins");
    let shown = report::text(&outcome, Style::Plain);
    assert_eq!(outcome.verdict, Verdict::Violated, "{shown}");
    let lines: Vec<u32> = outcome
        .claims
        .iter()
        .filter(|claim| claim.document.is_none() && claim.verdict == relapse::expect::Verdict::Violated)
        .map(|claim| claim.line)
        .collect();
    assert_eq!(lines, marked, "{shown}");
}

/// Runs the scenario with other commands in the place of its own.
fn with_commands(path: &Path, first: Option<&str>) -> Verdict {
    let mut scenario = load(path);
    let inherited = scenario.inherited;
    let mut replaced = 0;
    for step in &mut scenario.steps[inherited..] {
        if let StepKind::Console(console) = &mut step.kind {
            for command in &mut console.commands {
                command.text = first.filter(|_| replaced == 0).unwrap_or("true").to_owned();
                command.output.clear();
                command.status = 0;
                replaced += 1;
            }
        }
    }
    assert!(replaced > 0, "{}: there is no action", path.display());
    scenario.run(&options()).expect("the run begins").verdict
}

#[rstest]
fn a_fix_that_does_nothing_fails(#[files("scenarios/fixes/*.md")] path: PathBuf) {
    assert_eq!(with_commands(&path, None), Verdict::Violated);
}

#[rstest]
fn a_limit_that_is_not_set_fails(#[files("scenarios/limits/*.md")] path: PathBuf) {
    assert_eq!(with_commands(&path, None), Verdict::Violated);
}

#[rstest]
fn what_does_not_help_fails_where_the_real_fix_is_typed_instead(#[files("scenarios/non-fixes/*.md")] path: PathBuf) {
    let cure = load(&path).settings.cure.expect("its incident says what ends it (cure)");
    assert_eq!(with_commands(&path, Some(&cure)), Verdict::Violated);
}

/// A page that is not on the disk, and those that are.
struct Beside {
    path: String,
    text: String,
}

impl Loader for Beside {
    fn read(&self, path: &str) -> Result<String, String> {
        if path == self.path {
            return Ok(self.text.clone());
        }
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

/// For the manager nothing has happened there: the loop goes on inside a service that runs.
const INSIDE: &[&str] = &["a-loop-inside-the-unit.md"];

/// The incident, whose cure is typed during the wait, and what is to be seen then.
fn cured(path: &Path, command: &str) -> Verdict {
    let incident = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
    let name = incident.file_name().expect("a file").to_string_lossy();
    let (wait, owner) = match INSIDE.contains(&name.as_ref()) {
        false => ("unit.SubState = auto-restart", "port 8000 owner = unit.MainPID"),
        true => ("port 8000 owner != none", "port 8000 owner != none"),
    };
    let page = Beside {
        path: incident.with_file_name("cured.md").to_string_lossy().into_owned(),
        text: format!(
            "# Cured\n\n```toml scenario\nkind = \"fix\"\nextends = \"{name}\"\n```\n\n\
             ```expect\neventually {wait} within 1min\n```\n\n\
             ```console\n$ {command}\n```\n\n\
             ```expect\neventually {owner} within 1min\n```\n\n\
             ```expect\nnever restart scheduled for 4min\nnever refused 8000 for 4min\n```\n"
        ),
    };
    let scenario = match Scenario::load_with(&page.path, &page) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{}", error.render(Style::Plain)),
    };
    scenario.run(&options()).expect("the run begins").verdict
}

#[rstest]
fn what_an_incident_says_that_it_ends_with_ends_it(
    #[files("scenarios/*.md")]
    #[files("scenarios/variants/*.md")]
    #[exclude("README")]
    path: PathBuf,
) {
    let Some(cure) = load(&path).settings.cure else { panic!("no `cure` in {}", path.display()) };
    assert_eq!(cured(&path, &cure), Verdict::Holds, "{cure}");
    assert_eq!(cured(&path, "true"), Verdict::Violated, "the claims hold without it, too");
}
