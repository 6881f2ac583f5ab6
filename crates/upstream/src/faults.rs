//! What goes wrong, and how often. A file of faults is JSON; what it does not know it refuses, so that a
//! slip does not become a quiet day. Touches nothing.

use domain::UnknownWord;
use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// The most faults of a file.
const FAULTS_MAX: usize = 1_000;
/// The longest delay or pause: a day, in seconds.
const SECONDS_MAX: u64 = 86_400;
/// `per_mille` of what always happens.
const ALWAYS: u64 = 1_000;

/// A thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The order is done 10 to 50 minutes after it was accepted, or after `seconds`.
    TensOfMinutes,
    /// One SIM of the order never gets its bundle, and nobody is told.
    SilentFailure,
    /// It is done, and the connection is closed without an answer.
    DropAfterDoing,
    /// The connection is closed, and nothing is done.
    DropBeforeDoing,
    /// The SIM has a pending operation (`CB-01-0111` and its like); nothing is done.
    PendingOperation,
    /// Refused for good; nothing is done.
    Refuse,
    /// HTTP 429 with `Retry-After`; nothing is done.
    TooManyRequests,
    /// HTTP 500 or 502; nothing is done.
    ServerError,
    /// HTTP 500 or 502, and it is done all the same.
    ServerErrorAfterDoing,
    /// It is done; half of the answer's body comes 5 seconds late, or `seconds`.
    SlowBody,
    /// It is done; the answer's body is cut off.
    MalformedJson,
    /// Cube's comparison of parameters within 10 seconds leaves `extra` out: two orders are taken for one.
    SameParametersWithoutExtra,
    /// A webhook comes twice.
    DuplicateWebhooks,
    /// A webhook comes after those that should follow it.
    OutOfOrderWebhooks,
}

/// When in a request's life a fault matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Instead of doing it; of reads, too.
    Before,
    /// Instead of doing it, for what changes something only.
    Refusal,
    /// After it was done, instead of its answer.
    After,
    /// In what becomes of an accepted order.
    Effect,
    /// In what is told of it later.
    Webhook,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::TensOfMinutes,
        Self::SilentFailure,
        Self::DropAfterDoing,
        Self::DropBeforeDoing,
        Self::PendingOperation,
        Self::Refuse,
        Self::TooManyRequests,
        Self::ServerError,
        Self::ServerErrorAfterDoing,
        Self::SlowBody,
        Self::MalformedJson,
        Self::SameParametersWithoutExtra,
        Self::DuplicateWebhooks,
        Self::OutOfOrderWebhooks,
    ];

    /// Its name in files and in the journal.
    pub fn word(self) -> &'static str {
        match self {
            Self::TensOfMinutes => "tens-of-minutes",
            Self::SilentFailure => "silent-failure",
            Self::DropAfterDoing => "drop-after-doing",
            Self::DropBeforeDoing => "drop-before-doing",
            Self::PendingOperation => "pending-operation",
            Self::Refuse => "refuse",
            Self::TooManyRequests => "too-many-requests",
            Self::ServerError => "server-error",
            Self::ServerErrorAfterDoing => "server-error-after-doing",
            Self::SlowBody => "slow-body",
            Self::MalformedJson => "malformed-json",
            Self::SameParametersWithoutExtra => "same-parameters-without-extra",
            Self::DuplicateWebhooks => "duplicate-webhooks",
            Self::OutOfOrderWebhooks => "out-of-order-webhooks",
        }
    }

    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::DropBeforeDoing | Self::TooManyRequests | Self::ServerError => Stage::Before,
            Self::PendingOperation | Self::Refuse => Stage::Refusal,
            Self::DropAfterDoing
            | Self::ServerErrorAfterDoing
            | Self::SlowBody
            | Self::MalformedJson => Stage::After,
            Self::TensOfMinutes | Self::SilentFailure | Self::SameParametersWithoutExtra => {
                Stage::Effect
            }
            Self::DuplicateWebhooks | Self::OutOfOrderWebhooks => Stage::Webhook,
        }
    }
}

/// A fault with its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How often, of a thousand requests that meet the other conditions.
    pub per_mille: u16,
    /// Only for requests about a SIM whose ICCID ends so.
    pub iccid_ends: Option<String>,
    /// Only the first so many requests with the same reference.
    pub attempts: Option<u64>,
    /// How long a delay or a pause lasts, or how long `Retry-After` tells to wait; seconds.
    pub seconds: Option<u32>,
}

/// Everything that may go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Of those that exclude each other the first one that is drawn happens.
    pub faults: Vec<Fault>,
    /// How long an accepted order takes: from and to, in seconds. Zeros do it at once.
    pub delay_seconds: (u32, u32),
}

/// A text that describes no faults.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A name that is not known.
    #[error(transparent)]
    Unknown(#[from] UnknownWord),
    /// A value that is missing or out of its range.
    #[error("{0}")]
    Value(String),
}

impl Faults {
    /// The names of the presets, from the quietest on.
    pub const PRESETS: [&'static str; 4] = ["none", "calm", "rough", "all"];

    /// A preset by its name: `none`, nothing goes wrong and all is done at once; `calm`, a usual day;
    /// `rough`, a day with an outage; `all`, every fault often.
    pub fn preset(name: &str) -> Option<Self> {
        let of = |delay_seconds, rates: &[(FaultKind, u16)]| {
            let fault = |&(kind, per_mille)| Fault::often(kind, per_mille);
            Self { faults: rates.iter().map(fault).collect(), delay_seconds }
        };
        match name {
            "none" => Some(Self::default()),
            "calm" => Some(of(
                (1, 10),
                &[
                    (FaultKind::TooManyRequests, 5),
                    (FaultKind::SlowBody, 2),
                    (FaultKind::DuplicateWebhooks, 20),
                ],
            )),
            "rough" => Some(of(
                (1, 120),
                &[
                    (FaultKind::DropBeforeDoing, 20),
                    (FaultKind::DropAfterDoing, 20),
                    (FaultKind::TooManyRequests, 30),
                    (FaultKind::ServerError, 20),
                    (FaultKind::ServerErrorAfterDoing, 10),
                    (FaultKind::PendingOperation, 20),
                    (FaultKind::SlowBody, 10),
                    (FaultKind::MalformedJson, 10),
                    (FaultKind::TensOfMinutes, 50),
                    (FaultKind::SilentFailure, 5),
                    (FaultKind::DuplicateWebhooks, 100),
                    (FaultKind::OutOfOrderWebhooks, 100),
                ],
            )),
            "all" => Some(of((0, 60), &FaultKind::ALL.map(|kind| (kind, 60)))),
            _ => None,
        }
    }

    /// Reads `{"faults":[{"kind":"drop-after-doing","per_mille":20,"iccid_ends":"9004","attempts":2,
    /// "seconds":5}],"delay_seconds":[1,30]}`; all but `kind` may be left out, and then a fault always
    /// happens.
    pub fn parse(text: &str) -> Result<Self, FaultsError> {
        let value: Value = serde_json::from_str(text)?;
        let fields = fields(&value, &["faults", "delay_seconds"])?;
        let none = Vec::new();
        let faults = match fields.get("faults") {
            None => &none,
            Some(Value::Array(faults)) if faults.len() <= FAULTS_MAX => faults,
            Some(_) => return Err(wrong("faults is an array of at most 1000 objects")),
        };
        let faults = faults.iter().map(Fault::from_json).collect::<Result<_, _>>()?;
        let delay_seconds = match fields.get("delay_seconds") {
            None => (0, 0),
            Some(delay) => read_delay(delay)
                .ok_or_else(|| wrong("delay_seconds is [MIN,MAX], at most a day of 86400"))?,
        };
        Ok(Self { faults, delay_seconds })
    }

    /// The faults as the JSON that [`Faults::parse`] reads.
    pub fn to_json(&self) -> Value {
        let faults: Vec<Value> = self.faults.iter().map(Fault::to_json).collect();
        json!({"faults": faults, "delay_seconds": [self.delay_seconds.0, self.delay_seconds.1]})
    }

    /// What is drawn for one request.
    pub(crate) fn draw(
        &self,
        dice: Dice,
        reference: &str,
        attempt: u64,
        iccids: &[&str],
    ) -> Drawn<'_> {
        let happens = |(place, fault): &(usize, &Fault)| {
            let throw = ["fault", fault.kind.word(), &place.to_string(), reference];
            fault.may_meet(attempt, iccids)
                && dice.below(ALWAYS, &throw, attempt) < u64::from(fault.per_mille)
        };
        Drawn(self.faults.iter().enumerate().filter(happens).map(|(_, fault)| fault).collect())
    }
}

/// The faults of one request.
pub(crate) struct Drawn<'a>(Vec<&'a Fault>);

impl Drawn<'_> {
    /// The first one of a stage.
    pub(crate) fn at(&self, stage: Stage) -> Option<&Fault> {
        self.0.iter().copied().find(|fault| fault.kind.stage() == stage)
    }

    /// The one of a kind.
    pub(crate) fn of(&self, kind: FaultKind) -> Option<&Fault> {
        self.0.iter().copied().find(|fault| fault.kind == kind)
    }
}

impl Fault {
    /// A fault without other conditions than its rate.
    pub fn often(kind: FaultKind, per_mille: u16) -> Self {
        Self { kind, per_mille, iccid_ends: None, attempts: None, seconds: None }
    }

    /// A fault that always happens.
    pub fn always(kind: FaultKind) -> Self {
        Self::often(kind, 1_000)
    }

    fn may_meet(&self, attempt: u64, iccids: &[&str]) -> bool {
        self.attempts.is_none_or(|attempts| attempt < attempts)
            && (self.iccid_ends.is_none() || iccids.iter().any(|iccid| self.is_about(iccid)))
    }

    /// Whether a SIM is one of those that it is for.
    pub(crate) fn is_about(&self, iccid: &str) -> bool {
        self.iccid_ends.as_deref().is_none_or(|ending| iccid.ends_with(ending))
    }

    fn from_json(value: &Value) -> Result<Self, FaultsError> {
        let known = ["kind", "per_mille", "iccid_ends", "attempts", "seconds"];
        let fields = fields(value, &known)?;
        let kind = fields.get("kind").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| wrong("a fault has a kind"))?;
        let kind = UnknownWord::or_find(&FaultKind::ALL, FaultKind::word, kind, "kind of fault")?;
        let number = |name: &str, end: u64| match fields.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if number <= end => Ok(Some(number)),
                _ => Err(wrong(&format!("{name} is a number from 0 to {end}"))),
            },
        };
        let per_mille = number("per_mille", ALWAYS)?.unwrap_or(ALWAYS);
        let iccid_ends = match fields.get("iccid_ends") {
            None => None,
            Some(Value::String(ending)) => Some(ending.clone()),
            Some(_) => return Err(wrong("iccid_ends is a text")),
        };
        Ok(Self {
            kind,
            per_mille: u16::try_from(per_mille).unwrap_or(u16::MAX),
            iccid_ends,
            attempts: number("attempts", u64::MAX)?,
            seconds: number("seconds", SECONDS_MAX)?.and_then(|seconds| seconds.try_into().ok()),
        })
    }

    fn to_json(&self) -> Value {
        let mut fault = json!({"kind": self.kind.word(), "per_mille": self.per_mille});
        if let Some(ending) = &self.iccid_ends {
            fault["iccid_ends"] = ending.as_str().into();
        }
        if let Some(attempts) = self.attempts {
            fault["attempts"] = attempts.into();
        }
        if let Some(seconds) = self.seconds {
            fault["seconds"] = seconds.into();
        }
        fault
    }
}

fn wrong(text: &str) -> FaultsError {
    FaultsError::Value(text.to_owned())
}

/// The fields of an object that has no others than these.
fn fields<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, FaultsError> {
    let fields = value.as_object().ok_or_else(|| wrong(&format!("not an object: {value}")))?;
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(wrong(&format!("{unknown:?} is none of {}", known.join(", ")))),
        None => Ok(fields),
    }
}

fn read_delay(value: &Value) -> Option<(u32, u32)> {
    let [low, high] = value.as_array()?.as_slice() else { return None };
    let (low, high) = (low.as_u64()?, high.as_u64()?);
    let in_range = low <= high && high <= SECONDS_MAX;
    if in_range { Some((low.try_into().ok()?, high.try_into().ok()?)) } else { None }
}
