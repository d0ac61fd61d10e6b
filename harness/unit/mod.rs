//! The unit-file language: text in, typed units and warnings in systemd's own words out. Pure.
//!
//! [`Unit::parse`] reads one text, [`load`] reads a unit from the unit directories as systemd does: fragment, aliases,
//! masks, templates, drop-ins. Neither fails: what is wrong is in [`Unit::warnings`] and [`Unit::load_state`].

mod disk;
pub mod environment;
mod errno;
mod exec;
pub mod exit_status;
pub mod install;
mod keys;
mod lines;
mod load;
pub mod name;
mod number;
mod outline;
mod path;
mod print;
mod read;
mod rules;
mod service;
mod settings;
mod show;
pub mod signal;
mod socket;
mod specifier;
mod streams;
pub(crate) mod syslog;
mod types;
mod words;

pub use environment::{expand, parse_environment_file};
pub use errno::Errno;
pub use install::{UnitFileState, unit_file_state};
pub(crate) use keys::{Kind as KeyKind, has_section, lookup as key_kind};
pub use keys::{all as known_keys, since as key_since};
pub use load::{Index, Loader, SEARCH_PATH, load};
pub use name::{NameKind, UnitType};
pub use outline::{Item, ItemKind, Outline};
pub(crate) use path::is_valid as is_valid_path;
pub use service::Service;
pub(crate) use show::quoted;
pub(crate) use show::rank;
pub use show::{Implicit, PROPERTY_ORDER};
pub use socket::{Listen, ListenKind, Socket};
pub use specifier::Context;
pub(crate) use streams::is_descriptor_name;
pub use syslog::Syslog;
pub use types::*;
