//! A diagnosis for somebody who is awake at three in the morning: the verdict first.

use std::fmt::Write as _;

use super::limit::Limit;
use super::words::{about, since};
use super::{Diagnosis, Facts, Finding, Listener, Process, Units, Verdict};
use crate::timeline::printable;

/// So much of a command line or of a message is shown.
const LONGEST: usize = 300;
/// So many of the neighbours of a socket without a visible holder are shown.
const NEIGHBOURS: usize = 5;

/// Renders it. What strangers have written is made safe for a terminal, and cut.
pub fn text(facts: &Facts, diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    for finding in &diagnosis.findings {
        one(&mut out, facts, finding);
    }
    let scope = match (&facts.unit, facts.port) {
        (Some(unit), _) => safe(unit),
        (None, Some(port)) => format!("port {port}"),
        (None, None) if facts.units == Units::Seen => "no unit is restarted again and again".to_owned(),
        (None, None) => "no two servers have one port".to_owned(),
    };
    match diagnosis.verdict(facts) {
        Verdict::Problem => {}
        Verdict::Healthy => {
            let _ = writeln!(out, "HEALTHY: {scope}.");
        }
        Verdict::Unknown => {
            let _ = writeln!(out, "UNKNOWN: {scope}; but whether a unit fights for a port could not be seen.");
        }
    }
    if !diagnosis.healthy.is_empty() && (diagnosis.findings.is_empty() || facts.unit.is_none()) {
        if !diagnosis.findings.is_empty() {
            out.push_str("\nWhat is well\n");
        }
        for line in &diagnosis.healthy {
            let _ = writeln!(out, "  {}", safe(line));
        }
    }
    if diagnosis.findings.is_empty()
        && let Some(port) = facts.port
    {
        for listener in facts.listeners.iter().filter(|listener| listener.port == port) {
            holder(&mut out, facts, listener);
        }
    }
    if !facts.unseen.is_empty() {
        out.push_str("\nWhat could not be seen\n");
        for unseen in &facts.unseen {
            let remedy = if unseen.remedy.is_empty() { String::new() } else { format!(" {}", unseen.remedy) };
            let _ = writeln!(out, "  {}{}", safe(&unseen.what), safe(&remedy));
        }
    }
    out
}

fn one(out: &mut String, facts: &Facts, finding: &Finding) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "PROBLEM: {}", safe(&finding.headline));
    let holders: Vec<&Listener> = finding.holders.iter().filter_map(|at| facts.listeners.get(*at)).collect();
    if !holders.is_empty() {
        let _ = writeln!(out, "\nWho has it");
        for listener in holders {
            holder(out, facts, listener);
        }
    }
    if let Some(service) = finding.unit.as_ref().and_then(|unit| facts.services.iter().find(|one| one.id == *unit)) {
        let _ = writeln!(out, "\nWho wants it");
        let _ = writeln!(out, "  {}  {}", safe(&service.id), safe(&service.state()));
        for words in &service.exec_start {
            let _ = writeln!(out, "  runs      {}", safe(&words.join(" ")));
        }
        let user = if service.user.is_empty() { "root" } else { &service.user };
        let _ = writeln!(out, "  as        {}", safe(user));
        let pace = &finding.pace;
        if let Some((least, median, most)) = pace.period {
            let range =
                if least == most { String::new() } else { format!(", from {} to {}", about(least), about(most)) };
            let attempt = pace.attempt.map(|span| format!("; an attempt takes {}", about(span))).unwrap_or_default();
            let _ = writeln!(out, "  restarts  every {}{range}{attempt}", about(median));
        }
        if let Some(first) = pace.first {
            let _ = writeln!(out, "  at least since {}", since(first, facts.now));
        }
        if let Some(limit) = &finding.limit {
            let _ = writeln!(out, "  limit     {}", limit_in_words(limit, service));
        }
        for line in &pace.errors {
            let _ = writeln!(out, "  says      {}", safe(line));
        }
    }
    if !finding.why.is_empty() || !finding.pages.is_empty() {
        out.push_str("\nWhy\n");
        for line in &finding.why {
            let _ = writeln!(out, "  {}", safe(line));
        }
        for page in &finding.pages {
            let _ = writeln!(out, "  see {page}");
        }
    }
    out.push_str("\nWhat to do (nothing of it has been run)\n");
    for (at, way) in finding.ways.iter().enumerate() {
        let page = way.page.map(|page| format!(" ({page})")).unwrap_or_default();
        let _ = writeln!(out, "  {}. {}{page}", at + 1, safe(&way.what));
        for command in &way.commands {
            let _ = writeln!(out, "       {}", safe(command));
        }
    }
    let again = match (&finding.unit, finding.port) {
        (Some(unit), _) => format!("relapse diagnose {}", super::words::quoted(unit)),
        (None, Some(port)) => format!("relapse diagnose --port {port}"),
        (None, None) => "relapse diagnose".to_owned(),
    };
    let _ = writeln!(out, "  Then look again:\n       {}", safe(&again));
}

fn holder(out: &mut String, facts: &Facts, listener: &Listener) {
    let _ = writeln!(out, "  {}", listener.at());
    match listener.holder() {
        Some(first) => {
            process(out, facts, first);
            let more = listener.holders.len() - 1;
            if more > 0 {
                let pids: Vec<String> =
                    listener.holders.iter().skip(1).take(NEIGHBOURS).map(|process| process.pid.to_string()).collect();
                let dots = if more > NEIGHBOURS { ", …" } else { "" };
                let _ = writeln!(out, "    {more} more have the same socket: {}{dots}", pids.join(", "));
            }
        }
        None => {
            let _ = writeln!(
                out,
                "    a process of {}, {}; which one could not be seen",
                safe(&listener.user),
                safe(&listener.place.in_words())
            );
            for process in listener.neighbours.iter().take(NEIGHBOURS) {
                let _ = writeln!(out, "    there runs: pid {}  {}", process.pid, safe(&process.command()));
            }
        }
    }
    if listener.backlog > 0 && listener.waiting > listener.backlog / 2 {
        let _ =
            writeln!(out, "    {} connections wait to be accepted, of at most {}", listener.waiting, listener.backlog);
    }
}

fn process(out: &mut String, facts: &Facts, process: &Process) {
    let _ = writeln!(out, "    pid {}  {}", process.pid, safe(&process.command()));
    let since = process.since.map(|at| format!(", since {}", since(at, facts.now))).unwrap_or_default();
    let _ = writeln!(out, "    of {}, {}{since}", safe(&process.user), safe(&process.place.in_words()));
    if let Some(parent) = process.ancestors.first().filter(|parent| **parent > 0) {
        let _ = writeln!(out, "    started by pid {parent}  {}", safe(&process.parent));
    }
}

fn limit_in_words(limit: &Limit, service: &super::Service) -> String {
    match limit {
        Limit::Never(None) => "none: this never ends by itself".to_owned(),
        Limit::Never(Some(cycle)) => format!(
            "{} starts in {} never end this: they do only where a cycle takes less than {}",
            service.limit_burst,
            about(service.limit_interval),
            about(*cycle)
        ),
        Limit::After(starts) => format!("ends it after {starts} starts in a row; then somebody has to start it again"),
        Limit::NotRestarted => "it is not restarted after such an end".to_owned(),
    }
}

/// Safe for a terminal, on one line, and not too long.
fn safe(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", printable(&cut))
}
