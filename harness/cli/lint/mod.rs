//! `relapse lint`: reads units as systemd does and reports the mistakes that its rules know.

mod formats;
mod sarif;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::USAGE;
use super::analyze::place::Place;
use super::predict;
use super::run::{complain, say};
use crate::expect::{Diagnostic, Source, Style, nearest};
use crate::lint::{self, Finding, MOST_FINDINGS, Options, RULES, Rule, Severity, rule};
use crate::manager::Exit;
use crate::time::Span;
use crate::timeline::printable;
use crate::unit::name;
use crate::unit::{FileEntry, Profile};

const HELP: &str = "\
Units are read with the drop-ins beside them; a drop-in that is named itself (app.service.d/x.conf)
stands for its unit. What a unit does is asked of the embedded manager: nothing is started.

A comment on the line before switches a rule off for one line, anywhere for the whole file:
    # relapse: allow limit-never-bites
    # relapse: allow-file bind-error-restarts no-install

json is one object a finding: rule, severity, file, line, column, end_column, message, fix.

Exit codes: 0 nothing but notes, 1 warnings or errors, 2 bad input or usage.";

/// Mistakes in unit files that make a service loop
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Unit files or drop-ins; `-` is standard input
    #[arg(value_name = "UNIT", required_unless_present_any = ["list", "explain"])]
    units: Vec<PathBuf>,
    /// Whose rules: 252, 257 or 260
    #[arg(long, value_name = "VERSION", default_value = "252", value_parser = super::analyze::profile)]
    profile: Profile,
    /// What the program takes from its start to its end
    #[arg(long, value_name = "SPAN", value_parser = predict::span)]
    starts_in: Option<Span>,
    /// How the program ends: an exit code, or a signal such as KILL
    #[arg(long, value_name = "CODE|SIGNAL", value_parser = predict::exit)]
    exits: Option<Exit>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json", "sarif", "github"])]
    format: String,
    /// Switch a rule off (may be repeated)
    #[arg(long, value_name = "RULE", value_parser = rule_name)]
    allow: Vec<&'static Rule>,
    /// Make a rule an error (may be repeated)
    #[arg(long, value_name = "RULE", value_parser = rule_name)]
    deny: Vec<&'static Rule>,
    /// Tell what a rule is about
    #[arg(long, value_name = "RULE", value_parser = rule_name, conflicts_with = "units")]
    explain: Option<&'static Rule>,
    /// List all rules
    #[arg(long, conflicts_with = "units")]
    list: bool,
    /// The unit's name if its text comes from standard input
    #[arg(long, value_name = "NAME", default_value = "stdin.service")]
    name: String,
}

fn rule_name(text: &str) -> Result<&'static Rule, String> {
    rule(text).ok_or_else(|| {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        match nearest(text, &known) {
            Some(near) => format!("there is no such rule; did you mean {near}?"),
            None => "there is no such rule; `relapse lint --list` has them all".to_owned(),
        }
    })
}

/// A finding and where it is on this machine.
struct Found {
    finding: Finding,
    source: Arc<Source>,
}

pub(super) fn main(args: &Args) -> u8 {
    if let Some(rule) = args.explain {
        say(&format!("{} ({}): {}\n\n{}", rule.id, rule.severity.as_str(), rule.title, wrapped(rule.help)));
        return 0;
    }
    if args.list {
        let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
        let rows = RULES.iter().map(|rule| format!("{:width$}  {:7}  {}", rule.id, rule.severity.as_str(), rule.title));
        say(&rows.collect::<Vec<_>>().join("\n"));
        return 0;
    }
    let found = match look(args) {
        Ok(found) => found,
        Err(why) => {
            complain(&format!("error: {}", printable(&why)));
            return USAGE;
        }
    };
    match args.format.as_str() {
        "json" => formats::json(&found),
        "sarif" => say(&sarif::document(&found)),
        "github" => formats::github(&found),
        _ => formats::text(&found),
    }
    u8::from(found.iter().any(|found| found.finding.severity > Severity::Note))
}

/// A unit that is asked for: its file, or the one that it would have.
struct Asked {
    file: PathBuf,
    /// Only drop-ins of it are there.
    partial: bool,
}

/// The unit that a file on the command line stands for.
fn asked(file: &Path) -> Asked {
    let directory = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let owner = directory.and_then(|directory| directory.strip_suffix(".d"));
    let is_conf = file.extension().is_some_and(|extension| extension == "conf");
    let Some(owner) = owner.filter(|_| is_conf) else { return Asked { file: file.to_owned(), partial: false } };
    let beside = file.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    // `service.d` is for all services.
    let name = if name::is_valid(owner) { owner.to_owned() } else { format!("any.{owner}") };
    let unit = beside.join(&name);
    let partial = !unit.exists();
    Asked { file: unit, partial }
}

/// The units of one directory, which may know each other.
struct Group {
    place: Place,
    partial: bool,
}

fn groups(args: &Args) -> Result<Vec<(PathBuf, Group)>, String> {
    let mut groups: Vec<(PathBuf, Group)> = Vec::new();
    let mut directories: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &args.units {
        let asked = asked(file);
        let absolute = std::path::absolute(&asked.file).unwrap_or_else(|_| asked.file.clone());
        if file.as_os_str() == "-" {
            let place = Place::new(args.profile, None, std::slice::from_ref(file), &args.name)?;
            groups.push((file.clone(), Group { place, partial: false }));
        } else if !seen.insert(absolute.clone()) {
            // Two drop-ins of one unit.
        } else if asked.partial {
            let place = Place::of_drop_in(args.profile, file, &asked.file)?;
            groups.push((file.clone(), Group { place, partial: true }));
        } else {
            let directory = absolute.parent().map(Path::to_owned).unwrap_or_default();
            match directories.iter_mut().find(|(known, _)| *known == directory) {
                Some((_, files)) => files.push(asked.file),
                None => directories.push((directory, vec![asked.file])),
            }
        }
    }
    for (_, files) in directories {
        let place = Place::new(args.profile, None, &files, &args.name)?;
        let first = files.into_iter().next().unwrap_or_default();
        groups.push((first, Group { place, partial: false }));
    }
    Ok(groups)
}

fn look(args: &Args) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    let mut sources: BTreeMap<String, Arc<Source>> = BTreeMap::new();
    for (file, Group { place, partial }) in &groups(args)? {
        let options = Options {
            profile: args.profile,
            starts_in: args.starts_in,
            exits: args.exits,
            partial: *partial,
            together: place.names.clone(),
        };
        for unit in &place.names {
            let findings = lint::lint(&place.shelf.files, unit, &options);
            if findings.len() >= MOST_FINDINGS {
                complain(&format!("{}: more than {MOST_FINDINGS} findings, the others are not shown", printable(unit)));
            }
            for mut finding in findings {
                if args.allow.iter().any(|rule| rule.id == finding.rule.id) {
                    continue;
                }
                if args.deny.iter().any(|rule| rule.id == finding.rule.id) {
                    finding.severity = Severity::Error;
                }
                let shown = place.shelf.shown.get(&finding.file).unwrap_or(&finding.file).clone();
                let source = sources.entry(shown.clone()).or_insert_with(|| {
                    let bytes = match place.shelf.files.entries.get(&finding.file) {
                        Some(FileEntry::Regular { content, .. }) => content.as_slice(),
                        _ => place.shelf.files.read(&finding.file).unwrap_or_default(),
                    };
                    Source::new(as_written(file, &shown), same_length(bytes))
                });
                found.push(Found { finding, source: Arc::clone(source) });
            }
        }
    }
    // A drop-in may belong to several of the units.
    let mut told = BTreeSet::new();
    found.retain(|Found { finding, source }| {
        told.insert((source.path().to_owned(), finding.span.start, finding.rule.id, finding.message.clone()))
    });
    Ok(found)
}

/// A path as its user would write it: relative where the one on the command line was.
fn as_written(asked: &Path, shown: &str) -> String {
    if asked.is_absolute() {
        return shown.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    Path::new(shown).strip_prefix(&here).map_or_else(|_| shown.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// The text with one `?` for each byte that is not part of UTF-8, so that offsets stay what they are.
fn same_length(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    out
}

impl Found {
    /// With the place cut to the end of its first line.
    fn span(&self) -> std::ops::Range<usize> {
        let span = self.finding.span.clone();
        let first = self.source.slice(span.clone()).lines().next().map_or(0, str::len);
        span.start..span.start + first
    }

    fn message(&self) -> String {
        printable(&self.finding.message).into_owned()
    }

    fn frame(&self) -> String {
        let finding = &self.finding;
        let diagnostic =
            Diagnostic::new(self.span(), format!("{}: {}", finding.rule.id, finding.message), finding.label.clone());
        diagnostic.render_named(finding.severity.as_str(), &self.source, Style::Plain)
    }
}

/// A text in lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_ascii_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 100 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}
