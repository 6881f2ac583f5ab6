//! SIMs and the bundles on them, which run one after another. Touches nothing.

use domain::{Span, Timestamp};

/// How much of a bundle is used per minute once it runs.
const BYTES_PER_MINUTE: u64 = 64 * 1024;

/// A product that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    pub(crate) days: u32,
    /// In the smallest unit of the protocol's currency.
    pub(crate) price_minor: u64,
}

/// What the catalogues list. An id that is not among them is ordered as the first one, so that anybody's
/// own products can be tried; only ids that end in [`GONE`] do not exist.
pub(crate) const PRODUCTS: [Product; 3] = [
    Product {
        id: "CP-6HPXRQI88QSM",
        name: "1 GB, 30 days",
        bytes: 1 << 30,
        days: 30,
        price_minor: 500,
    },
    Product {
        id: "CP-SIMULATED3GB",
        name: "3 GB, 30 days",
        bytes: 3 << 30,
        days: 30,
        price_minor: 1_200,
    },
    Product {
        id: "CP-SIMULATED1DY",
        name: "500 MB, 1 day",
        bytes: 500 << 20,
        days: 1,
        price_minor: 100,
    },
];

/// The ending of ids of products that do not exist.
pub(crate) const GONE: &str = "GONE";

/// A product by its id.
pub(crate) fn product(id: &str) -> Option<Product> {
    let listed = PRODUCTS.into_iter().find(|product| product.id == id);
    if id.is_empty() || id.ends_with(GONE) { None } else { listed.or(Some(PRODUCTS[0])) }
}

/// What a SIM is to its network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SimState {
    #[default]
    Active,
    Suspended,
    Ended,
}

/// A SIM. Any ICCID is a SIM of the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sim {
    pub(crate) state: SimState,
    pub(crate) bundles: Vec<Bundle>,
    /// Orders and operations that are accepted and not yet done.
    pub(crate) pending: u32,
}

/// A bundle that was put on a SIM.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub(crate) id: String,
    pub(crate) product: String,
    pub(crate) quantity: u32,
    pub(crate) order_id: String,
    pub(crate) reference: String,
    pub(crate) added_at: Timestamp,
    /// When it was ended before its time.
    pub(crate) ended_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BundleState {
    Queued,
    Active,
    Paused,
    /// Its time is over.
    Expired,
    /// It was ended.
    Revoked,
}

/// A bundle at a time.
pub(crate) struct View<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) state: BundleState,
    pub(crate) start_at: Timestamp,
    pub(crate) end_at: Timestamp,
    pub(crate) limit_bytes: u64,
    pub(crate) used_bytes: u64,
}

impl View<'_> {
    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, BundleState::Expired | BundleState::Revoked)
    }
}

impl Sim {
    /// Its bundles in the order in which they run.
    pub(crate) fn views(&self, now: Timestamp) -> Vec<View<'_>> {
        let mut free_from = Timestamp::from_micros(0);
        let mut views = Vec::new();
        for bundle in &self.bundles {
            let product = product(&bundle.product).unwrap_or(PRODUCTS[0]);
            let days = i64::from(product.days) * i64::from(bundle.quantity);
            let start_at = bundle.added_at.max(free_from);
            let full = start_at + Span::days(days);
            let end_at = bundle.ended_at.map_or(full, |ended| ended.clamp(start_at, full));
            free_from = bundle.ended_at.map_or(full, |ended| full.min(ended).max(free_from));
            let limit_bytes = product.bytes.saturating_mul(u64::from(bundle.quantity));
            let ran = now.min(end_at).since(start_at).as_micros().max(0) / 60_000_000;
            let used = u64::try_from(ran).unwrap_or(0).saturating_mul(BYTES_PER_MINUTE);
            let state = match bundle.ended_at {
                Some(ended) if ended < full => BundleState::Revoked,
                _ if full <= now => BundleState::Expired,
                _ if now < start_at => BundleState::Queued,
                _ if self.state == SimState::Suspended => BundleState::Paused,
                _ => BundleState::Active,
            };
            let used_bytes = used.min(limit_bytes);
            views.push(View { bundle, state, start_at, end_at, limit_bytes, used_bytes });
        }
        views
    }

    /// Ends the bundles that are not over and that are meant; whether there was one.
    pub(crate) fn end(&mut self, now: Timestamp, is_meant: impl Fn(&Bundle) -> bool) -> bool {
        let views = self.views(now);
        let over: Vec<bool> = views.iter().map(View::is_over).collect();
        let mut any = false;
        for (bundle, over) in self.bundles.iter_mut().zip(over) {
            if !over && is_meant(bundle) {
                bundle.ended_at = Some(now);
                any = true;
            }
        }
        any
    }

    /// Bytes used in all.
    pub(crate) fn used_bytes(&self, now: Timestamp) -> u64 {
        self.views(now).iter().map(|view| view.used_bytes).sum()
    }

    /// Bytes of all its bundles.
    pub(crate) fn limit_bytes(&self, now: Timestamp) -> u64 {
        self.views(now).iter().map(|view| view.limit_bytes).sum()
    }
}
