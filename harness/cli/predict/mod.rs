//! `relapse predict`: what a unit does if its program keeps ending the same way, without running anything.

mod svg;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::USAGE;
use super::analyze::place::Place;
use super::run::{complain, say};
use crate::manager::Exit;
use crate::time::Span;
use crate::timeline::{brief, printable, signal_number};
use crate::unit::{FileEntry, Files, LoadState, Profile, UnitType, load};
use crate::world::{Ends, Forecast, Prediction};

const HELP: &str = "\
The embedded manager decides, on a machine that is only imagined: nothing is started, and a day takes
milliseconds. The unit's other commands (ExecStartPre= and the like) are taken to succeed at once, the units
that it requires to be there, and nothing else to happen on the machine, so that timers fire on the grid of
250 ms that systemd keeps. Where a delay grows, figures are those of the end.

Exit codes: 0 predicted, 1 the unit cannot be started at all, 2 bad input or usage.";

/// What a unit does if its program keeps ending the same way
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The unit file, with its drop-ins beside it; `-` is standard input
    #[arg(value_name = "UNIT")]
    unit: PathBuf,
    /// What its program takes from its start to its end (or until it serves)
    #[arg(long, value_name = "SPAN", default_value = "0", value_parser = span)]
    starts_in: Span,
    /// How it ends each time: an exit code, or a signal such as KILL [default: 1]
    #[arg(long, value_name = "CODE|SIGNAL", value_parser = exit)]
    exits: Option<Exit>,
    /// It ends so only while somebody else has its port, for so long; then it serves
    #[arg(long, value_name = "SPAN", value_parser = span)]
    port_busy_for: Option<Span>,
    /// How long to look
    #[arg(long = "for", value_name = "SPAN", default_value = "1d", value_parser = span)]
    span: Span,
    /// Whose rules: 252, 257 or 260
    #[arg(long, value_name = "VERSION", default_value = "252", value_parser = super::analyze::profile)]
    profile: Profile,
    /// Try values of a setting, such as RestartSec=100ms..60s
    #[arg(long, value_name = "KEY=FROM..TO", value_parser = sweep)]
    sweep: Option<Sweep>,
    /// Draw the sweep into FILE
    #[arg(long, value_name = "FILE", requires = "sweep")]
    svg: Option<PathBuf>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// The unit's name if its text comes from standard input
    #[arg(long, value_name = "NAME", default_value = "stdin.service")]
    name: String,
}

/// Values of a setting to try.
#[derive(Clone, Debug)]
struct Sweep {
    section: &'static str,
    key: String,
    from: Span,
    to: Span,
}

/// Settings that can be tried, and their sections.
const KEYS: &[(&str, &str)] = &[
    ("RestartSec", "Service"),
    ("RestartMaxDelaySec", "Service"),
    ("StartLimitIntervalSec", "Unit"),
    ("TimeoutStartSec", "Service"),
];

pub(in crate::cli) fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| format!("{error}; expected a time span such as 4.4s or 1min 30s"))
}

pub(in crate::cli) fn exit(text: &str) -> Result<Exit, String> {
    if let Ok(code) = text.parse::<u8>() {
        return Ok(Exit::Code(code));
    }
    let named = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let signal = signal_number(text).filter(|_| named);
    signal.map(Exit::Signal).ok_or_else(|| "expected an exit code from 0 to 255, or a signal such as KILL".to_owned())
}

fn sweep(text: &str) -> Result<Sweep, String> {
    let expected = "expected KEY=FROM..TO, such as RestartSec=100ms..60s";
    let (key, range) = text.split_once('=').ok_or(expected)?;
    let (from, to) = range.split_once("..").ok_or(expected)?;
    let names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
    let (_, section) = KEYS
        .iter()
        .find(|(name, _)| *name == key)
        .ok_or_else(|| format!("one of {} can be tried", names.join(", ")))?;
    let (from, to) = (span(from)?, span(to)?);
    if from.is_zero() || to < from || to > Span::from_secs(86_400 * 365) {
        return Err("expected spans above 0 and up to a year, the shorter one first".to_owned());
    }
    Ok(Sweep { section, key: key.to_owned(), from, to })
}

impl Sweep {
    /// 1, 2 and 5 of every power of ten, and the ends.
    fn values(&self) -> Vec<Span> {
        let (from, to) = (self.from.as_micros(), self.to.as_micros());
        let decades = (0..18).map(|power| 10u64.pow(power));
        let steps = decades.flat_map(|decade| [1, 2, 5].map(|step| decade.saturating_mul(step)));
        let mut values: Vec<u64> = steps.filter(|value| (from..=to).contains(value)).chain([from, to]).collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().map(Span::from_micros).collect()
    }

    /// The unit's files with one value in a drop-in that goes after all others.
    fn with(&self, files: &Files, unit: &str, value: Span) -> Files {
        let mut files = files.clone();
        let content = format!("[{}]\n{}={}us\n", self.section, self.key, value.as_micros());
        let path = format!("/etc/systemd/system/{unit}.d/zzz-sweep.conf");
        files.entries.insert(path, FileEntry::Regular { content: content.into_bytes(), generation: 1 });
        files
    }
}

pub(super) fn main(args: &Args) -> u8 {
    let place = match Place::new(args.profile, None, std::slice::from_ref(&args.unit), &args.name) {
        Ok(place) => place,
        Err(why) => {
            complain(&format!("error: {}", printable(&why)));
            return USAGE;
        }
    };
    let unit = place.names.first().cloned().unwrap_or_default();
    let files = &with_others(place.shelf.files.clone(), &unit, args.profile);
    match &args.sweep {
        Some(sweep) => tried(args, sweep, files, &unit),
        None => {
            let prediction = predict(args, files.clone(), &unit);
            for warning in &prediction.warnings {
                let shown =
                    place.shelf.shown.iter().fold(warning.clone(), |text, (path, shown)| text.replace(path, shown));
                complain(&printable(&shown));
            }
            if let Some(why) = &prediction.refused {
                complain(&format!("error: {}", printable(why)));
                return 1;
            }
            say(&match args.format.as_str() {
                "json" => json(&unit, None, &prediction),
                _ => text(&unit, args, &prediction),
            });
            0
        }
    }
}

/// The files with those of services and sockets that the unit requires and that are not beside it: they may well exist
/// elsewhere, and are taken to start.
fn with_others(mut files: Files, unit: &str, profile: Profile) -> Files {
    let mut open = vec![unit.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let loaded = load(&files, &name, profile);
        let stand_in = match UnitType::of(&name) {
            Some(UnitType::Service) => "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
            Some(UnitType::Socket) => "[Socket]\nListenStream=/run/stand-in\n",
            _ => continue,
        };
        if loaded.load_state == LoadState::NotFound && name != unit {
            files.insert(format!("/usr/lib/systemd/system/{name}"), stand_in);
        }
        open.extend([loaded.requires, loaded.binds_to, loaded.requisite].concat());
    }
    files
}

fn predict(args: &Args, files: Files, unit: &str) -> Prediction {
    let with = args.exits.unwrap_or(Exit::Code(1));
    let ends = args.port_busy_for.map_or(Ends::With(with), |after| Ends::UntilPortIsFree { with, after });
    Forecast::in_files(unit, files).profile(args.profile).starts_in(args.starts_in).ends(ends).run_for(args.span)
}

/// The object that `--format json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_us: Option<u64>,
    starts: u32,
    restarts_per_day: u64,
    period_us: Option<Period>,
    active_state: &'a str,
    sub_state: &'a str,
    result: &'a str,
    nrestarts: u32,
    limited_at_us: Option<u64>,
    serves_at_us: Option<u64>,
    for_us: u64,
    restarts_per_hour: u64,
    pace_us: Option<u64>,
}

#[derive(Serialize)]
struct Period {
    min: u64,
    median: u64,
    max: u64,
}

fn json(unit: &str, value: Option<Span>, prediction: &Prediction) -> String {
    let micros = |span: Option<Span>| span.map(Span::as_micros);
    let shown = Shown {
        unit,
        value_us: micros(value),
        starts: prediction.starts,
        restarts_per_day: prediction.restarts_per_day(),
        period_us: prediction.period.map(|(min, median, max)| Period {
            min: min.as_micros(),
            median: median.as_micros(),
            max: max.as_micros(),
        }),
        active_state: prediction.active_state,
        sub_state: prediction.sub_state,
        result: prediction.result,
        nrestarts: prediction.nrestarts,
        limited_at_us: micros(prediction.limited_at),
        serves_at_us: micros(prediction.serves_at),
        for_us: prediction.span.as_micros(),
        restarts_per_hour: prediction.restarts_per_hour(),
        pace_us: micros(prediction.pace),
    };
    // Nothing in it that JSON could refuse.
    serde_json::to_string(&shown).unwrap_or_default()
}

fn text(unit: &str, args: &Args, prediction: &Prediction) -> String {
    let mut out = format!("{}\n\n", printable(unit));
    let shown = prediction.states.len().min(10);
    for state in &prediction.states[..shown] {
        let result = if state.result == "success" { String::new() } else { format!(", {}", state.result) };
        let restarts = if state.nrestarts > 0 { format!("  NRestarts={}", state.nrestarts) } else { String::new() };
        let _ =
            writeln!(out, "{:>12}  {} ({}{result}){restarts}", brief(state.at), state.active_state, state.sub_state);
    }
    if prediction.states.len() > shown {
        out.push_str("           …\n");
    }
    out.push('\n');
    out.push_str(&verdict(args, prediction));
    out
}

/// What it comes to, in a few sentences.
fn verdict(args: &Args, prediction: &Prediction) -> String {
    let mut out = String::new();
    let state = format!("{} ({}), Result={}", prediction.active_state, prediction.sub_state, prediction.result);
    let starts = if prediction.starts == 1 { "1 start".to_owned() } else { format!("{} starts", prediction.starts) };
    match (prediction.serves_at, prediction.limited_at) {
        (Some(at), _) => {
            let _ = write!(out, "It serves from {} on, after {starts}.", brief(at));
            if let Some(free) = args.port_busy_for {
                let _ = write!(out, " That is {} after the port is free.", brief(at.saturating_sub(free)));
            }
        }
        (None, Some(at)) => {
            let _ = write!(
                out,
                "The start limit ends it at {}, after {starts}: {state}. Somebody has to start it again.",
                brief(at)
            );
        }
        (None, None) if prediction.goes_on() => {
            let pace = prediction.pace.map(brief).unwrap_or_default();
            let grown = match prediction.period {
                Some((least, _, _)) if Some(least) < prediction.pace => {
                    format!(" in the end (every {} at first)", brief(least))
                }
                _ => String::new(),
            };
            let _ = write!(
                out,
                "It is started every {pace}{grown}, for ever: {} restarts an hour, {} a day.",
                prediction.restarts_per_hour(),
                prediction.restarts_per_day()
            );
        }
        (None, None) => {
            let _ = write!(out, "It comes to rest after {starts}: {state}.");
        }
    }
    let setting = |name: &str| {
        let found = prediction.settings.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let (burst, interval) = (setting("StartLimitBurst"), setting("StartLimitIntervalUSec"));
    if prediction.goes_on() {
        out.push('\n');
        let least = Span::parse(interval).ok().zip(burst.parse::<u64>().ok()).filter(|(_, burst)| *burst > 0);
        match least.filter(|(interval, _)| !interval.is_zero()) {
            Some((interval, burst)) => {
                let least = brief(Span::from_micros(interval.as_micros() / burst));
                let _ = write!(
                    out,
                    "Its start limit of {burst} starts in {} never ends that: it does only where a cycle takes less than {least}.",
                    brief(interval)
                );
            }
            None => out.push_str("It has no start limit."),
        }
    }
    out
}

/// `--sweep`: a row for each value.
fn tried(args: &Args, sweep: &Sweep, files: &Files, unit: &str) -> u8 {
    let rows: Vec<(Span, Prediction)> =
        sweep.values().into_iter().map(|value| (value, predict(args, sweep.with(files, unit, value), unit))).collect();
    if let Some(why) = rows.iter().find_map(|(_, prediction)| prediction.refused.as_ref()) {
        complain(&format!("error: {}", printable(why)));
        return 1;
    }
    if let Some(file) = &args.svg
        && let Err(error) = std::fs::write(file, svg::draw(unit, &sweep.key, &rows))
    {
        complain(&format!("error: {}: {error}", file.display()));
        return USAGE;
    }
    if args.format == "json" {
        let lines: Vec<String> = rows.iter().map(|(value, row)| json(unit, Some(*value), row)).collect();
        say(&lines.join("\n"));
        return 0;
    }
    let mut out =
        format!("{:>12}  {:>10}  {:>8}  {:>13}  {}\n", sweep.key, "period", "per hour", "restarts/day", "in the end");
    for (value, row) in &rows {
        // Where a delay grows, what it has grown to.
        let last = row.pace.filter(|_| row.goes_on());
        let period = last.or(row.period.map(|(_, median, _)| median)).map(brief).unwrap_or_default();
        let end = match (row.serves_at, row.limited_at) {
            (Some(at), _) => format!("serves from {} on", brief(at)),
            (None, Some(at)) => format!("start limit at {}", brief(at)),
            (None, None) if row.goes_on() => "goes on".to_owned(),
            (None, None) => format!("{} ({})", row.active_state, row.sub_state),
        };
        let _ = writeln!(
            out,
            "{:>12}  {period:>10}  {:>8}  {:>13}  {end}",
            brief(*value),
            row.restarts_per_hour(),
            row.restarts_per_day()
        );
    }
    say(&out);
    0
}
