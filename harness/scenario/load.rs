//! A document and the documents it extends → one [`Scenario`].

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::check::check;
use super::console::{self, Console};
use super::error::Error;
use super::fence::{self, Opens};
use super::markdown::{self, Fence, Part};
use super::settings::{Header, Kind, Settings};
use super::{Expect, FileBlock, Phase, ProgramBlock, Scenario, Step, StepKind, UnitBlock, location};
use crate::expect::{Diagnostic, Source, nearest};
use crate::time::{IncidentTime, Span};
use crate::unit::Profile;

/// The manager's service timers fire on a grid of this width, the default accuracy of sd-event's timers.
const GRID: Span = Span::from_millis(250);

/// How many scenarios may extend one another.
const DEEPEST: usize = 8;

/// Where documents come from, so that reading them is somebody else's business.
pub trait Loader {
    /// The text of a document.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, as a lower-case fragment.
    fn read(&self, path: &str) -> Result<String, String>;
}

impl Scenario {
    /// Reads a scenario and those it extends.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn load_with(path: &str, loader: &dyn Loader) -> Result<Self, Error> {
        let text = loader.read(path).map_err(|reason| Error::file(path, reason))?;
        let scenario = load(Source::new(path, text), loader, &mut vec![normal(path)])?;
        check(&scenario)?;
        Ok(scenario)
    }

    /// Reads a scenario that extends no other.
    ///
    /// # Errors
    ///
    /// As [`Scenario::load_with`].
    pub fn parse(path: &str, text: &str) -> Result<Self, Error> {
        struct Nothing;
        impl Loader for Nothing {
            fn read(&self, _path: &str) -> Result<String, String> {
                Err("there are no other files here".into())
            }
        }
        let scenario = load(Source::new(path, text), &Nothing, &mut vec![normal(path)])?;
        check(&scenario)?;
        Ok(scenario)
    }
}

/// Reads one document over the one it extends. `chain` holds the paths that led here.
fn load(source: Arc<Source>, loader: &dyn Loader, chain: &mut Vec<String>) -> Result<Scenario, Error> {
    let at = |diagnostic| Error::new(&source, diagnostic);
    let document = Document::split(&source).map_err(at)?;
    let header = document.header().map_err(at)?;
    let base = match &header.extends {
        Some(extends) => Some(extend(&source, document.header_at(extends.span()), extends.get_ref(), loader, chain)?),
        None => None,
    };
    document.join(&header, base).map_err(at)
}

fn extend(
    source: &Arc<Source>,
    span: Range<usize>,
    extends: &str,
    loader: &dyn Loader,
    chain: &mut Vec<String>,
) -> Result<Scenario, Error> {
    let path = normal(&relative(source.path(), extends));
    if chain.contains(&path) {
        let diagnostic = if chain.last() == Some(&path) {
            Diagnostic::new(span, "the scenario extends itself", "expected another scenario")
        } else {
            let circle = chain.iter().skip_while(|known| **known != path).cloned().collect::<Vec<_>>().join(" → ");
            Diagnostic::new(span, "scenarios extend each other in a circle", format!("{circle} → {path}"))
        };
        return Err(Error::new(source, diagnostic));
    }
    if chain.len() >= DEEPEST {
        let diagnostic =
            Diagnostic::new(span, "too many scenarios extend one another", format!("expected at most {DEEPEST}"));
        return Err(Error::new(source, diagnostic));
    }
    let text = loader.read(&path).map_err(|reason| {
        Error::new(source, Diagnostic::new(span, format!("cannot read the extended scenario {path}"), reason))
    })?;
    chain.push(path.clone());
    let base = load(Source::new(path, text), loader, chain);
    chain.pop();
    base
}

/// `path` as seen from the directory of `from`.
fn relative(from: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    match from.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/{path}"),
        None => path.to_owned(),
    }
}

/// A path without `.` and `..` where they can be taken out, as it is shown and compared with others.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// One document taken apart.
struct Document<'a> {
    source: &'a Arc<Source>,
    title: String,
    phases: Vec<Phase>,
    header: Range<usize>,
    blocks: Vec<Block>,
}

/// A block of a document, not yet read.
struct Block {
    opens: Opens,
    fence: Fence,
    phase: Option<usize>,
    span: Range<usize>,
}

type Result1<T> = Result<T, Diagnostic>;

impl<'a> Document<'a> {
    /// Finds the title, the phases and the blocks.
    fn split(source: &'a Arc<Source>) -> Result1<Self> {
        let text = source.text();
        let mut title: Option<(String, Range<usize>)> = None;
        let mut phases = Vec::new();
        let mut header: Option<Range<usize>> = None;
        let mut blocks: Vec<Block> = Vec::new();
        for part in markdown::parts(text) {
            match part {
                Part::Heading { level: 1, text, span } => match &title {
                    None => title = Some((text, span)),
                    Some((_, first)) => {
                        return Err(Diagnostic::new(span, "a second title", "expected `##`: a file is one scenario")
                            .related(first.clone(), "the title"));
                    }
                },
                Part::Heading { level: 2, text, span } => {
                    phases.push(Phase { title: text, location: location(source, span) });
                }
                Part::Heading { .. } => {}
                Part::Fence(fence) => {
                    let Some(opens) = fence::opens(text, fence.info.clone())? else { continue };
                    let span = opening(text, &fence);
                    if fence.is_nested {
                        return Err(Diagnostic::new(
                            span,
                            "a block within a list, a quotation or an indentation",
                            "expected it at the left margin",
                        ));
                    }
                    if !fence.is_closed {
                        return Err(Diagnostic::new(
                            span,
                            "the block is never closed",
                            "expected a closing fence below",
                        ));
                    }
                    if opens == Opens::Header {
                        match (&header, blocks.first()) {
                            (Some(first), _) => {
                                return Err(Diagnostic::new(
                                    span,
                                    "a second header",
                                    "expected one `toml scenario`: a file is one scenario",
                                )
                                .related(first.clone(), "the header"));
                            }
                            (None, Some(first)) => {
                                return Err(Diagnostic::new(
                                    span,
                                    "the header does not come first",
                                    "expected `toml scenario` before all other blocks",
                                )
                                .related(first.span.clone(), "the first block"));
                            }
                            (None, None) => header = Some(fence.content),
                        }
                        continue;
                    }
                    blocks.push(Block { opens, fence, phase: phases.len().checked_sub(1), span });
                }
            }
        }
        let start = 0..0;
        let Some(header) = header else {
            let span = blocks.first().map_or(start, |block| block.span.clone());
            return Err(Diagnostic::new(span, "a scenario without a header", "expected a `toml scenario` block first")
                .help("a scenario begins with a ```toml scenario block that says its `kind`"));
        };
        let Some((title, _)) = title else {
            return Err(Diagnostic::new(start, "a scenario without a title", "expected `# TITLE`"));
        };
        Ok(Self { source, title, phases, header, blocks })
    }

    fn header(&self) -> Result1<Header> {
        self.toml(&self.header, "header")
    }

    /// A span of the header's text in the document.
    fn header_at(&self, span: Range<usize>) -> Range<usize> {
        shift(span, &self.header)
    }

    /// Reads a block of TOML, which is called `what` in errors.
    fn toml<T: serde::de::DeserializeOwned>(&self, content: &Range<usize>, what: &str) -> Result1<T> {
        toml::from_str(self.source.slice(content.clone())).map_err(|error| {
            let span = error.span().map_or(content.start..content.start, |span| shift(span, content));
            toml_error(span, error.message(), what)
        })
    }

    /// Reads the blocks and puts them behind those of the extended scenario.
    fn join(&self, header: &Header, base: Option<Scenario>) -> Result1<Scenario> {
        let kind = *header.kind.get_ref();
        if kind.is_cure() && !base.as_ref().is_some_and(|base| base.has_incident) {
            let (span, label) = match &header.extends {
                Some(extends) => (extends.span(), "expected a scenario of kind `incident`, or one that extends such"),
                None => (header.kind.span(), "expected `extends = \"….md\"` as well"),
            };
            return Err(Diagnostic::new(self.header_at(span), format!("a {kind} without an incident"), label)
                .help(format!("a {kind} counts only if the loop was seen before, in the same run")));
        }
        let has_incident = kind == Kind::Incident || base.as_ref().is_some_and(|base| base.has_incident);
        let extends = base.as_ref().map(|base| base.source.path().to_owned());
        let (settings, mut phases, mut steps, mut documents) = match base {
            Some(base) => (base.settings, base.phases, base.steps, base.documents),
            None => (Settings::default(), Vec::new(), Vec::new(), Vec::new()),
        };
        documents.push(Arc::clone(self.source));
        let settings = self.settings(header, settings)?;
        let (inherited, first_phase) = (steps.len(), phases.len());
        phases.extend(self.phases.iter().cloned());
        for block in &self.blocks {
            steps.push(Step {
                phase: block.phase.map(|phase| first_phase + phase),
                location: location(self.source, block.span.start..block.fence.content.end),
                kind: self.step(block, settings.clock)?,
            });
        }
        let mut scenario = Scenario {
            source: Arc::clone(self.source),
            title: self.title.clone(),
            kind,
            extends,
            documents,
            settings,
            phases,
            steps,
            inherited,
            has_incident,
            unit: None,
        };
        scenario.unit = main_unit(&scenario);
        Ok(scenario)
    }

    fn step(&self, block: &Block, clock: IncidentTime) -> Result1<StepKind> {
        let content = block.fence.content.clone();
        let text = location(self.source, content.clone());
        Ok(match &block.opens {
            Opens::Program(name) => StepKind::Program(Box::new(ProgramBlock {
                name: name.value.clone(),
                program: self.toml(&content, "program")?,
                location: text,
            })),
            Opens::Unit(name) => StepKind::Unit(UnitBlock { name: name.value.clone(), location: text }),
            Opens::File(path, shell) => {
                let is_shell = *shell || super::shell::is_script(text.text());
                StepKind::File(FileBlock { path: path.value.clone(), is_shell, location: text })
            }
            Opens::Console(timing) => {
                let when = console::when(timing.as_ref(), clock)?;
                let when_at = timing.as_ref().map(|timing| location(self.source, timing.span()));
                let locate = |span| location(self.source, span);
                let commands = console::commands(self.source.text(), content, locate)?;
                StepKind::Console(Console { when, when_at, commands })
            }
            Opens::Expect => {
                let first_line = self.source.position(content.start).line as usize;
                let claims = crate::expect::parse_from(self.source.text(), content, first_line)?;
                if claims.is_empty() {
                    return Err(Diagnostic::new(
                        block.span.clone(),
                        "an `expect` block without a claim",
                        "expected a claim",
                    ));
                }
                StepKind::Expect(Expect { source: Arc::clone(self.source), claims })
            }
            // The header is kept apart when the document is split.
            Opens::Header => return Err(Diagnostic::new(block.span.clone(), "a second header", "expected one")),
        })
    }

    /// The header over the settings of the extended scenario.
    fn settings(&self, header: &Header, mut settings: Settings) -> Result1<Settings> {
        if let Some(clock) = &header.clock {
            settings.clock = self.clock(clock)?;
        }
        if let Some(systemd) = &header.systemd {
            settings.profile = match systemd.get_ref() {
                252 => Profile::V252,
                257 => Profile::V257,
                260 => Profile::V260,
                other => {
                    return Err(self.wrong(
                        systemd,
                        format!("no profile of systemd {other}"),
                        "expected 252, 257 or 260",
                    ));
                }
            };
        }
        if let Some(pid) = &header.pid {
            if !(2..=4_194_304).contains(pid.get_ref()) {
                return Err(self.wrong(pid, "not a PID", "expected 2 to 4194304"));
            }
            settings.first_pid = Some(*pid.get_ref());
        }
        for port in &header.ports {
            if *port.get_ref() == 0 {
                return Err(self.wrong(port, "0 is not a port", "expected 1 to 65535"));
            }
            if !settings.ports.contains(port.get_ref()) {
                settings.ports.push(*port.get_ref());
            }
        }
        if let Some(directory) = &header.directory {
            if !fence::is_clean_path(directory.get_ref()) {
                return Err(self.wrong(
                    directory,
                    "not the absolute path of a directory",
                    "expected a path from `/` on, without `.` and `..`",
                ));
            }
            settings.directory = Some(directory.get_ref().clone());
        }
        if let Some(client) = &header.client {
            if client.get_ref().port == 0 || client.get_ref().every.is_zero() || !client.get_ref().path.starts_with('/')
            {
                return Err(self.wrong(
                    client,
                    "a client that cannot ask",
                    "expected a `port` from 1, `every` above 0 and a `path` from `/` on",
                ));
            }
            let (from, until) = (client.get_ref().from.unwrap_or(settings.clock), client.get_ref().until);
            if until.is_some_and(|until| until <= from) {
                return Err(self.wrong(
                    client,
                    "a client that never asks",
                    format!("expected an `until` after {from}"),
                ));
            }
            settings.client = Some(client.get_ref().clone());
        }
        if let Some(phase) = &header.timer_phase {
            if phase.get_ref().0 >= GRID {
                return Err(self.wrong(phase, "the phase is longer than the grid", "expected less than 250ms"));
            }
            settings.timer_phase = Some(phase.get_ref().0);
        }
        if let Some(budget) = &header.budget {
            if budget.get_ref().0.is_zero() {
                return Err(self.wrong(budget, "a budget of nothing", "expected a span such as `10min`"));
            }
            settings.budget = budget.get_ref().0;
        }
        if let Some(hostname) = &header.hostname {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if hostname.get_ref().is_empty() || !hostname.get_ref().chars().all(is_name) {
                return Err(self.wrong(hostname, "not a host name", "expected letters, digits, `-` and `.`"));
            }
            settings.hostname = hostname.get_ref().clone();
        }
        if let Some(user) = &header.user {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if user.get_ref().is_empty() || !user.get_ref().chars().all(is_name) {
                return Err(self.wrong(user, "not a user name", "expected letters, digits, `-`, `_` and `.`"));
            }
            settings.user = user.get_ref().clone();
        }
        // Of this document alone: the incident it extends is no check.
        settings.cannot_tell = header.cannot_tell.as_ref().is_some_and(|said| *said.get_ref());
        if let Some(cure) = &header.cure {
            if cure.get_ref().trim().is_empty() {
                return Err(self.wrong(
                    cure,
                    "an empty command",
                    "expected what ends the incident, such as `kill 1001`",
                ));
            }
            settings.cure = Some(cure.get_ref().clone());
        }
        if let Some(why) = &header.only_embedded {
            if why.get_ref().trim().is_empty() || why.get_ref().contains(char::is_control) {
                return Err(self.wrong(
                    why,
                    "no reason",
                    "expected one line that says why a real systemd cannot run it",
                ));
            }
            settings.only_embedded = Some(why.get_ref().clone());
        }
        settings.remark = match &header.remark {
            Some(remark) if remark.get_ref().contains(char::is_control) => {
                return Err(self.wrong(remark, "a remark of several lines", "expected one line of Markdown"));
            }
            Some(remark) => remark.get_ref().clone(),
            None => String::new(),
        };
        Ok(settings)
    }

    fn clock(&self, clock: &Spanned<toml::value::Datetime>) -> Result1<IncidentTime> {
        let expected = "expected a local date-time without quotes, as in `2026-01-16T12:19:00`";
        let datetime = clock.get_ref();
        if datetime.offset.is_some() || datetime.date.is_none() || datetime.time.is_none() {
            return Err(self.wrong(clock, "not a local date-time", expected));
        }
        match datetime.to_string().parse::<jiff::civil::DateTime>() {
            Ok(civil) if civil.year() >= 1970 => Ok(IncidentTime::from_civil(civil)),
            Ok(_) => Err(self.wrong(clock, "the clock begins before 1970", "expected a later date")),
            Err(_) => Err(self.wrong(clock, "not a local date-time", expected)),
        }
    }

    fn wrong<T>(&self, value: &Spanned<T>, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.header_at(value.span()), message, label)
    }
}

/// What the TOML parser says, in our words.
fn toml_error(span: Range<usize>, message: &str, what: &str) -> Diagnostic {
    let message = message.lines().collect::<Vec<_>>().join(", ");
    let (found, expected) = match message.strip_prefix("expected ") {
        Some(expected) => ("not a value for this key", expected),
        None => message.split_once(", expected ").unwrap_or((&message, "")),
    };
    let expected = match expected {
        "u8" => "0 to 255",
        "u16" => "0 to 65535",
        "u32" => "0 to 4294967295",
        "a TOML datetime" => "a local date-time without quotes, as in `2026-01-16T12:19:00`",
        expected => expected,
    };
    let label = match expected {
        "" if found.starts_with("missing") => "expected it in this block".into(),
        "" => "this cannot be read".into(),
        expected => format!("expected {expected}"),
    };
    let found = found.replacen("unknown field", "unknown key", 1).replacen("unknown variant", "unknown value", 1);
    let found = found.replacen("missing field", "missing key", 1);
    let candidates: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let near = found.split('`').nth(1).and_then(|word| nearest(word, &candidates));
    let diagnostic = Diagnostic::new(span, format!("{what}: {found}"), label);
    match near {
        Some(near) if found.starts_with("unknown") => diagnostic.help(format!("did you mean `{near}`?")),
        _ => diagnostic,
    }
}

/// The first service that a block writes, else the first unit of any type.
fn main_unit(scenario: &Scenario) -> Option<String> {
    let mut units = scenario.units().filter(|unit| !unit.is_drop_in()).map(UnitBlock::unit).peekable();
    let first = units.peek().copied();
    units.find(|unit| unit.ends_with(".service")).or(first).map(str::to_owned)
}

fn shift(span: Range<usize>, within: &Range<usize>) -> Range<usize> {
    within.start + span.start..within.start + span.end
}

/// The opening line of a block, from the fence on.
fn opening(text: &str, fence: &Fence) -> Range<usize> {
    let line = text[..fence.info.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = line + text[line..fence.info.end].trim_end().len();
    line..end
}
