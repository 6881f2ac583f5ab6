//! Prefixed ids over `UUIDv7`: `ord_0190f2a4…`. The prefix says what is meant wherever an id turns up.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

/// What an id names. Implemented by the markers in [`kind`].
pub trait Kind: 'static {
    /// The prefix, without the underscore.
    const PREFIX: &'static str;
}

/// The id of one kind of row.
pub struct Id<K> {
    uuid: uuid::Uuid,
    kind: PhantomData<fn() -> K>,
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_<32 hexadecimal digits>: {text:?}")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

impl<K: Kind> Id<K> {
    /// An id from a time (Unix milliseconds) and ten random bytes.
    pub fn from_parts(unix_millis: u64, random: [u8; 10]) -> Self {
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid();
        Self { uuid, kind: PhantomData }
    }

    /// An id that is made of what it names: sixteen bytes of a digest of it.
    pub fn from_digest(digest: [u8; 16]) -> Self {
        let uuid = uuid::Builder::from_custom_bytes(digest).into_uuid();
        Self { uuid, kind: PhantomData }
    }
}

impl<K> Id<K> {
    /// Its bytes, without the prefix.
    pub fn bytes(&self) -> [u8; 16] {
        self.uuid.into_bytes()
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, self.uuid.simple())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|hex| hex.len() == 32 && !hex.bytes().any(|b| b.is_ascii_uppercase()))
            .and_then(|hex| uuid::Uuid::try_parse(hex).ok())
            .map(|uuid| Self { uuid, kind: PhantomData })
            .ok_or_else(|| IdError { text: text.to_owned(), prefix: K::PREFIX })
    }
}

// Written out because a derive would ask the same of the marker `K`.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $alias:ident;)*) => {
        /// One marker type per kind of id.
        pub mod kind {
            $($(#[$doc])* #[derive(Debug, Clone, Copy)] pub enum $name {}
            impl super::Kind for $name { const PREFIX: &'static str = $prefix; })*
        }
        $($(#[$doc])* pub type $alias = Id<kind::$name>;)*
    };
}

kinds! {
    /// A partner.
    Partner "prt" PartnerId;
    /// A SIM in a partner's stock.
    Sim "sim" SimId;
    /// An order.
    Order "ord" OrderId;
    /// A payment.
    Payment "pay" PaymentId;
    /// An agreement to renew.
    Renewal "rnw" RenewalId;
    /// A job.
    Job "job" JobId;
    /// A price.
    Price "prc" PriceId;
    /// A request to the server.
    Request "req" RequestId;
    /// An operator's token.
    Token "tok" TokenId;
    /// An entry of the audit log.
    Audit "aud" AuditId;
    /// An import of many rows from a file.
    Import "imp" ImportId;
    /// Money that goes back.
    Refund "ref" RefundId;
    /// Where a partner is told of events.
    Endpoint "end" EndpointId;
    /// Something that a partner is told.
    Event "evt" EventId;
    /// A group of SIMs to which the operator gave no code.
    Group "grp" GroupId;
    /// An operation on the SIMs of a group.
    GroupOperation "gop" GroupOperationId;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_id_reads_back_and_sorts_by_its_time(
            early in 0_u64..1 << 48, late in 0_u64..1 << 48, random: [[u8; 10]; 2],
        ) {
            let [first, second] = [(early, random[0]), (late, random[1])]
                .map(|(millis, random)| OrderId::from_parts(millis, random).to_string());
            prop_assert_eq!(first.parse::<OrderId>().unwrap().to_string(), first.clone());
            prop_assert!(early == late || (early < late) == (first < second));
        }

        #[test]
        fn no_text_panics(text in "(ord_)?.{0,40}") {
            let _ = text.parse::<OrderId>();
        }
    }

    #[test]
    fn text_and_back() {
        let id = OrderId::from_parts(1_654_585_746_965, [7; 10]);
        let text = id.to_string();
        assert!(text.starts_with("ord_0181"), "{text}");
        assert_eq!(text.parse::<OrderId>().unwrap(), id);
        assert!(text.parse::<PaymentId>().is_err(), "another kind's prefix");
        assert!(text.to_uppercase().parse::<OrderId>().is_err());
        assert!("ord_".parse::<OrderId>().is_err());
    }

    #[test]
    fn later_ids_sort_later() {
        let [early, late] = [1, 2].map(|ms| OrderId::from_parts(ms, [0xff; 10]).to_string());
        assert!(early < late);
    }
}
