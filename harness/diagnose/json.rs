//! A diagnosis for machines: one object.

use serde::Serialize;

use super::limit::Limit;
use super::{Diagnosis, Facts, Finding, Listener, Process};
use crate::time::{IncidentTime, Span};
use crate::timeline::printable_json;

#[derive(Serialize)]
struct Shown<'a> {
    verdict: &'static str,
    findings: Vec<ShownFinding<'a>>,
    healthy: &'a [String],
    unseen: Vec<ShownUnseen<'a>>,
}

#[derive(Serialize)]
struct ShownUnseen<'a> {
    what: &'a str,
    remedy: &'a str,
}

#[derive(Serialize)]
struct ShownFinding<'a> {
    cause: &'static str,
    certain: bool,
    unit: Option<&'a str>,
    port: Option<u16>,
    summary: &'a str,
    holders: Vec<ShownListener<'a>>,
    nrestarts: u32,
    period_us: Option<Period>,
    attempt_us: Option<u64>,
    growing: bool,
    first: Option<String>,
    ends_by_itself: Option<bool>,
    errors: &'a [String],
    why: &'a [String],
    pages: Vec<String>,
    ways: Vec<ShownWay<'a>>,
}

#[derive(Serialize)]
struct Period {
    min: u64,
    median: u64,
    max: u64,
}

#[derive(Serialize)]
struct ShownListener<'a> {
    address: String,
    port: u16,
    uid: u32,
    user: &'a str,
    v6_only: Option<bool>,
    place: String,
    processes: Vec<ShownProcess<'a>>,
}

#[derive(Serialize)]
struct ShownProcess<'a> {
    pid: i32,
    ppid: Option<i32>,
    uid: u32,
    user: &'a str,
    comm: &'a str,
    argv: &'a [String],
    since: Option<String>,
    place: String,
}

#[derive(Serialize)]
struct ShownWay<'a> {
    what: &'a str,
    commands: &'a [String],
    page: Option<String>,
}

/// Renders it on one line.
pub fn json(facts: &Facts, diagnosis: &Diagnosis) -> String {
    let shown = Shown {
        verdict: diagnosis.verdict(facts).as_str(),
        findings: diagnosis.findings.iter().map(|finding| one(facts, finding)).collect(),
        healthy: &diagnosis.healthy,
        unseen: facts.unseen.iter().map(|unseen| ShownUnseen { what: &unseen.what, remedy: &unseen.remedy }).collect(),
    };
    // Nothing in it that JSON could refuse.
    printable_json(&serde_json::to_string(&shown).unwrap_or_default())
}

fn one<'a>(facts: &'a Facts, finding: &'a Finding) -> ShownFinding<'a> {
    let pace = &finding.pace;
    ShownFinding {
        cause: finding.cause.as_str(),
        certain: finding.certain,
        unit: finding.unit.as_deref(),
        port: finding.port,
        summary: &finding.headline,
        holders: finding.holders.iter().filter_map(|at| facts.listeners.get(*at)).map(listener).collect(),
        nrestarts: pace.n_restarts,
        period_us: pace.period.map(|(min, median, max)| Period {
            min: min.as_micros(),
            median: median.as_micros(),
            max: max.as_micros(),
        }),
        attempt_us: pace.attempt.map(Span::as_micros),
        growing: pace.growing,
        first: pace.first.map(rfc3339),
        ends_by_itself: finding.limit.as_ref().map(|limit| !matches!(limit, Limit::Never(_))),
        errors: &pace.errors,
        why: &finding.why,
        pages: finding.pages.iter().map(ToString::to_string).collect(),
        ways: finding
            .ways
            .iter()
            .map(|way| ShownWay {
                what: &way.what,
                commands: &way.commands,
                page: way.page.map(|page| page.to_string()),
            })
            .collect(),
    }
}

fn listener(listener: &Listener) -> ShownListener<'_> {
    ShownListener {
        address: listener.address.to_string(),
        port: listener.port,
        uid: listener.uid,
        user: &listener.user,
        v6_only: listener.v6_only,
        place: listener.place.in_words(),
        processes: listener.holders.iter().map(process).collect(),
    }
}

fn process(process: &Process) -> ShownProcess<'_> {
    ShownProcess {
        pid: process.pid,
        ppid: process.ancestors.first().copied(),
        uid: process.uid,
        user: &process.user,
        comm: &process.comm,
        argv: &process.argv,
        since: process.since.map(rfc3339),
        place: process.place.in_words(),
    }
}

fn rfc3339(moment: IncidentTime) -> String {
    moment.civil().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
