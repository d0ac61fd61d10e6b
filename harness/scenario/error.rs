//! Why a scenario cannot be run: one error, with the place it is about.

use std::fmt;
use std::sync::Arc;

use crate::expect::{Diagnostic, Position, Source, Style};
use crate::timeline::printable;

/// Why a scenario cannot be run. [`fmt::Display`] shows the source with a caret, without colours.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Cause>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// Something in a text.
    Source(Arc<Source>, Diagnostic),
    /// The file itself.
    File { path: String, reason: String },
}

impl Error {
    /// A finding in a text.
    pub fn new(source: &Arc<Source>, diagnostic: Diagnostic) -> Self {
        Self(Box::new(Cause::Source(Arc::clone(source), diagnostic)))
    }

    /// A file that cannot be read.
    pub fn file(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self(Box::new(Cause::File { path: path.into(), reason: reason.into() }))
    }

    /// The path of the file it is about.
    pub fn path(&self) -> &str {
        match &*self.0 {
            Cause::Source(source, _) => source.path(),
            Cause::File { path, .. } => path,
        }
    }

    /// Line and column, if it is about a place in the text.
    pub fn position(&self) -> Option<Position> {
        match &*self.0 {
            Cause::Source(source, diagnostic) => Some(source.position(diagnostic.span.start)),
            Cause::File { .. } => None,
        }
    }

    /// The text and the finding, if it is about a place in a text.
    pub fn place(&self) -> Option<(&Arc<Source>, &Diagnostic)> {
        match &*self.0 {
            Cause::Source(source, diagnostic) => Some((source, diagnostic)),
            Cause::File { .. } => None,
        }
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        match &*self.0 {
            Cause::Source(_, diagnostic) => &diagnostic.message,
            Cause::File { reason, .. } => reason,
        }
    }

    /// The whole error.
    pub fn render(&self, style: Style) -> String {
        match &*self.0 {
            Cause::Source(source, diagnostic) => diagnostic.render(source, style),
            Cause::File { path, reason } => {
                format!("error: cannot read the scenario {}: {}", printable(path), printable(reason))
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Error {}
