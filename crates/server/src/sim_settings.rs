//! The settings of what is asked of carriers about SIMs.

use clap::{Args, value_parser};
use domain::Span;
use mall::Settings;

/// The most seconds that a carrier's word may be good for: a day.
const SECONDS_MAX: i64 = 86_400;
/// The most hours between two looks at a SIM: a year.
const HOURS_MAX: i64 = 8_760;

#[derive(Debug, Args)]
pub(crate) struct SimSettings {
    /// Seconds that a carrier's word on a SIM and its plans is good for before the carrier is asked again.
    #[arg(long, env = "SIMMALL_SIM_AGE_SECONDS", default_value_t = 60, value_parser = value_parser!(i64).range(1..=SECONDS_MAX), value_name = "N")]
    sim_age_seconds: i64,
    /// The same for how much data a SIM used.
    #[arg(long, env = "SIMMALL_USAGE_AGE_SECONDS", default_value_t = 1_200, value_parser = value_parser!(i64).range(1..=SECONDS_MAX), value_name = "N")]
    usage_age_seconds: i64,
    /// Hours after which a SIM with a plan in use is looked at again at its carrier, without being told to;
    /// 0: never. The built-in simulator is not looked at.
    #[arg(long, env = "SIMMALL_SIM_LOOK_HOURS", default_value_t = 24, value_parser = value_parser!(i64).range(0..=HOURS_MAX), value_name = "N")]
    sim_look_hours: i64,
    /// How many SIMs this process looks at in a minute at most; each is two questions to a carrier.
    #[arg(long, env = "SIMMALL_SIM_LOOKS_PER_MINUTE", default_value_t = 1, value_parser = value_parser!(u32).range(1..=6_000), value_name = "N")]
    sim_looks_per_minute: u32,
}

impl SimSettings {
    /// The settings with these among them.
    pub(crate) fn settle(&self, settings: Settings) -> Settings {
        let look_age = Span::minutes(self.sim_look_hours * 60);
        Settings {
            sim_age_max: Span::seconds(self.sim_age_seconds),
            usage_age_max: Span::seconds(self.usage_age_seconds),
            sim_look_age: (self.sim_look_hours > 0).then_some(look_age),
            sim_looks_per_minute: self.sim_looks_per_minute,
            ..settings
        }
    }
}
