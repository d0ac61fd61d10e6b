use super::*;
pub struct Manager;
impl Manager {
    pub fn new(_: Config) -> Self { Self }
    pub fn step(&mut self, _: crate::time::IncidentTime, _: &mut dyn Host, _: Input) -> Vec<Effect> { vec![] }
    pub fn next_deadline(&self) -> Option<crate::time::IncidentTime> { None }
    pub fn properties(&self, _: &str) -> Vec<(&'static str, String)> { vec![] }
    pub fn units(&self) -> Vec<String> { vec![] }
}
