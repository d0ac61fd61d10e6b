//! The lists: `list-units`, `list-unit-files`, `list-jobs`, and what the manager says of itself.

use crate::ctl::{JobInfo, Output, UnitFile, View, glob};
use crate::unit::install::preset_complaints;
use crate::unit::name::suffix;

use super::options::Options;
use super::properties::Properties;
use super::table::{Table, lay_out_by};

/// A loaded unit as the lists show it.
pub(super) struct Row {
    pub(super) unit: String,
    load: String,
    active: String,
    sub: String,
    job: String,
    description: String,
}

/// The loaded units that the options and patterns select, in the order of the lists.
pub(super) fn select(options: &Options, all: bool, patterns: &[String], view: &dyn View) -> Vec<Row> {
    let jobs = view.jobs();
    let mut rows: Vec<Row> = view
        .units()
        .into_iter()
        .filter(|unit| matches_any(patterns, unit))
        .filter(|unit| {
            options.types.is_empty() || options.types.iter().any(|t| suffix(unit).trim_start_matches('.') == t)
        })
        .map(|unit| {
            let properties = Properties::of(view, &unit);
            let get = |key: &str| properties.get(key).to_owned();
            let job = jobs.iter().find(|job| job.unit == unit).map(|job| job.job_type.clone()).unwrap_or_default();
            Row {
                load: get("LoadState"),
                active: get("ActiveState"),
                sub: get("SubState"),
                description: get("Description"),
                job,
                unit,
            }
        })
        .filter(|row| match options.states.as_slice() {
            [] => all || !row.job.is_empty() || row.active != "inactive",
            states => states.iter().any(|state| [&row.load, &row.active, &row.sub].contains(&state)),
        })
        .collect();
    rows.sort_by_key(|row| order(&row.unit));
    rows
}

/// By type, then by name, both without regard to case.
fn order(unit: &str) -> (String, String) {
    (suffix(unit).to_ascii_lowercase(), unit.to_ascii_lowercase())
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| glob::matches(pattern, name))
}

/// `list-units`.
pub(super) fn units(output: &mut Output, options: &Options, version: u32, view: &dyn View) {
    let rows = select(options, options.all, &options.operands, view);
    let with_jobs = rows.iter().any(|row| !row.job.is_empty());
    let shown = |column: usize| (column > 0 || !options.plain) && (column != 5 || with_jobs);
    let head = [" ", "UNIT", "LOAD", "ACTIVE", "SUB", "JOB", "DESCRIPTION"];
    let mut table = Table::new((0..).zip(head).filter(|(n, _)| shown(*n)).map(|(_, title)| title).collect());
    for row in &rows {
        let bad = matches!(row.load.as_str(), "error" | "not-found" | "bad-setting" | "masked");
        let on_its_way = matches!(row.active.as_str(), "activating" | "deactivating" | "reloading");
        let marked = bad || row.active == "failed" || (version >= 254 && on_its_way);
        let mark = if marked { options.glyphs.dot() } else { " " };
        let cells = [mark, &row.unit, &row.load, &row.active, &row.sub, &row.job, &row.description];
        table.push((0..).zip(cells).filter(|(n, _)| shown(*n)).map(|(_, cell)| Some(cell.to_owned())).collect());
    }
    table.print(output, options);
    if options.legend {
        legend(output, options, version, rows.len(), with_jobs);
    }
}

fn legend(output: &mut Output, options: &Options, version: u32, count: usize, with_jobs: bool) {
    const LOAD: &str = "Reflects whether the unit definition was properly loaded.";
    const ACTIVE: &str = "The high-level unit activation state, i.e. generalization of SUB.";
    const SUB: &str = "The low-level unit activation state, values depend on unit type.";
    const JOB: &str = "Pending job for the unit.";
    let columns = [("LOAD", LOAD), ("ACTIVE", ACTIVE), ("SUB", SUB), ("JOB", JOB)];
    let columns = &columns[..if with_jobs { 4 } else { 3 }];
    if count > 0 {
        output.say("");
        for (number, (column, meaning)) in columns.iter().enumerate() {
            output.say(match (version >= 254, number) {
                (false, _) => format!("{column:<6} = {meaning}"),
                (true, 0) => format!("Legend: {column:<6} {} {meaning}", options.glyphs.arrow()),
                (true, _) => format!("        {column:<6} {} {meaning}", options.glyphs.arrow()),
            });
        }
        if with_jobs && version < 254 {
            output.say("");
        }
    }
    if version >= 254 {
        output.say("");
    }
    let hint = "To show all installed unit files use 'systemctl list-unit-files'.";
    if options.all || options.states.iter().any(|state| state == "inactive") {
        output.say(format!("{count} loaded units listed."));
        output.say(hint);
    } else if options.states.is_empty() {
        output.say(format!("{count} loaded units listed. Pass --all to see loaded but inactive units, too."));
        output.say(hint);
    } else {
        output.say(format!("{count} loaded units listed."));
    }
}

/// `list-unit-files`; says how many.
pub(super) fn unit_files(output: &mut Output, options: &Options, view: &dyn View) -> usize {
    let mut files: Vec<UnitFile> = view
        .unit_files()
        .into_iter()
        .filter(|file| matches_any(&options.operands, &file.name))
        .filter(|file| options.states.is_empty() || options.states.contains(&file.state))
        .filter(|file| {
            options.types.is_empty() || options.types.iter().any(|t| suffix(&file.name).trim_start_matches('.') == t)
        })
        .collect();
    files.sort_by_key(|file| order(&file.name));
    let count = files.len();
    let mut table = Table::new(vec!["UNIT FILE", "STATE", "PRESET"]);
    for UnitFile { name, state, preset } in files {
        table.push(vec![Some(name), Some(state), preset]);
    }
    table.print(output, options);
    for complaint in preset_complaints(view.files()) {
        output.complain(complaint);
    }
    if options.legend {
        output.say("");
        output.say(format!("{count} unit files listed."));
    }
    count
}

/// Whether a job has to wait until another one, of an ordered unit, is done: of two ordered units the later one goes
/// first if it is to stop, else the earlier one does (systemd.unit(5), `Before=`, `After=`).
fn waits_for(job: &JobInfo, properties: &Properties, other: &JobInfo) -> bool {
    let stops = |job: &JobInfo| matches!(job.job_type.as_str(), "stop" | "restart");
    let ordered = |relation: &str| properties.words(relation).contains(&other.unit.as_str());
    (ordered("After") && !stops(job)) || (ordered("Before") && stops(other))
}

/// `list-jobs`.
pub(super) fn jobs(output: &mut Output, options: &Options, version: u32, view: &dyn View) {
    let all = view.jobs();
    let listed: Vec<_> = all.iter().filter(|job| matches_any(&options.operands, &job.unit)).collect();
    if listed.is_empty() {
        if options.legend {
            output.say(if all.is_empty() { "No jobs running." } else { "No jobs listed." });
        }
        return;
    }
    let mut cells: Vec<Vec<String>> = Vec::new();
    if options.legend {
        cells.push(["JOB", "UNIT", "TYPE", "STATE"].map(str::to_owned).to_vec());
    }
    for job in &listed {
        cells.push(vec![job.id.to_string(), job.unit.clone(), job.job_type.clone(), job.state.clone()]);
        let mut note = |what: &str, other: &JobInfo| {
            let text = format!("\t{what} job {} ({}/{})", other.id, other.unit, other.job_type);
            cells.push(vec![options.glyphs.last().to_owned(), text, "-".to_owned(), "-".to_owned()]);
        };
        let others = || all.iter().filter(|other| other.id != job.id);
        if options.after {
            others().filter(|o| waits_for(o, &Properties::of(view, &o.unit), job)).for_each(|o| note("blocking", o));
        }
        if options.before {
            let own = Properties::of(view, &job.unit);
            others().filter(|o| waits_for(job, &own, o)).for_each(|o| note("waiting for", o));
        }
    }
    // Later systemd counts a tab as what it is on a terminal.
    let tab = if version >= 254 { 8 } else { 1 };
    for line in lay_out_by(&cells, |cell| cell.chars().map(|c| if c == '\t' { tab } else { 1 }).sum()) {
        output.say(line);
    }
    if options.legend {
        output.say("");
        output.say(format!("{} jobs listed.", listed.len()));
    }
}

/// How many loaded units have failed.
pub(super) fn failed_units(view: &dyn View) -> usize {
    view.units().iter().filter(|unit| Properties::of(view, unit).get("ActiveState") == "failed").count()
}

/// The state of the system: `running`, or `degraded` while a unit is failed.
pub(super) fn system_state(view: &dyn View) -> &'static str {
    if failed_units(view) > 0 { "degraded" } else { "running" }
}

/// What `systemctl show` says without a unit: the manager's own properties, as far as there is something to say.
pub(super) fn manager_properties(version: u32, view: &dyn View) -> Vec<(&'static str, String)> {
    vec![
        ("Version", crate::ctl::package_version(version)),
        ("NNames", view.units().len().to_string()),
        ("NFailedUnits", failed_units(view).to_string()),
        ("NJobs", view.jobs().len().to_string()),
        ("SystemState", system_state(view).to_owned()),
    ]
}
