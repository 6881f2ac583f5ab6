//! What a node remembers of partners and the catalogue, so that a request does not read them again.
//!
//! Every change of a partner, its keys, prices or endpoints raises the partner's version in the same transaction,
//! every change of packages or plans the catalogue's. What is remembered is used only where that version
//! was seen to stand: before the request is answered, and for money in the transaction that writes it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::id::PartnerId;
use domain::partner::Partner;
use domain::plan::{Plan, PriceKind};
use domain::{Mode, Money, Timestamp};
use store::{DatedPrice, PushEndpoint, Tx, Versions};
use wire::diagnosis::SuspectKeys;
use wire::push::EventType;

use crate::Mall;
use crate::error::Result;

/// How many partners a node remembers; over that it forgets all and begins anew.
const PARTNERS_MAX: usize = 10_000;

/// A partner with its keys, prices and endpoints, as of a version.
pub struct Known {
    /// The partner; its version stands for all the rest too.
    pub partner: Arc<Partner>,
    /// Its keys, opened.
    pub(crate) keys: SuspectKeys,
    /// Its prices by plan, the newest first.
    prices: HashMap<String, Vec<DatedPrice>>,
    /// Whether it has groups: then a SIM may be on its way into one or out of one.
    pub(crate) has_groups: bool,
    /// Where it is told of events, whether or not anything is sent there now.
    pub(crate) endpoints: Vec<PushEndpoint>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({}, version {})", self.partner.code, self.partner.version)
    }
}

impl Known {
    /// Whether anybody is told events of a type.
    pub(crate) fn is_told(&self, event_type: EventType) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.wants(event_type.as_str()))
    }

    /// The prices of a plan that were in force at some time from `from` to `to`, the newest first.
    pub(crate) fn prices(
        &self,
        plan_code: &str,
        (from, to): (Timestamp, Timestamp),
    ) -> impl Iterator<Item = (PriceKind, Money)> {
        let prices = self.prices.get(plan_code).map_or(&[][..], Vec::as_slice);
        let in_force = move |price: &&DatedPrice| {
            price.valid_from <= to && price.valid_to.is_none_or(|end| end > from)
        };
        prices.iter().filter(in_force).map(|dated| (dated.price.kind, dated.price.unit))
    }
}

/// All plans on sale in a mode, as of a version.
#[derive(Debug)]
pub(crate) struct Catalogue {
    version: i64,
    plans: HashMap<String, Arc<Plan>>,
    of_carrier: HashMap<String, Vec<Arc<Plan>>>,
}

impl Default for Catalogue {
    /// What a node knows at its start: nothing, at a version that never was.
    fn default() -> Self {
        Self { version: -1, plans: HashMap::new(), of_carrier: HashMap::new() }
    }
}

impl Catalogue {
    /// A plan by its code.
    pub(crate) fn plan(&self, code: &str) -> Option<&Arc<Plan>> {
        self.plans.get(code)
    }

    /// The plans that a carrier provides, by code.
    pub(crate) fn plans_of(&self, carrier: &str) -> &[Arc<Plan>] {
        self.of_carrier.get(carrier).map_or(&[], Vec::as_slice)
    }
}

/// What a node remembers.
#[derive(Default)]
pub(crate) struct Cache {
    partners: RwLock<HashMap<(Mode, String), Arc<Known>>>,
    ids: RwLock<HashMap<(Mode, PartnerId), Arc<Known>>>,
    live: RwLock<Arc<Catalogue>>,
    test: RwLock<Arc<Catalogue>>,
}

impl Cache {
    /// What is remembered of a partner; it may have changed since.
    pub(crate) fn partner(&self, mode: Mode, code: &str) -> Option<Arc<Known>> {
        let partners = self.partners.read().unwrap_or_else(PoisonError::into_inner);
        partners.get(&(mode, code.to_owned())).map(Arc::clone)
    }

    fn partner_by_id(&self, mode: Mode, id: PartnerId) -> Option<Arc<Known>> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.get(&(mode, id)).map(Arc::clone)
    }

    fn remember(&self, known: &Arc<Known>) {
        let (mode, id, code) = (known.partner.mode, known.partner.id, known.partner.code.clone());
        let mut partners = self.partners.write().unwrap_or_else(PoisonError::into_inner);
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        if partners.len() >= PARTNERS_MAX {
            partners.clear();
            ids.clear();
        }
        partners.insert((mode, code), Arc::clone(known));
        ids.insert((mode, id), Arc::clone(known));
    }

    fn shelf(&self, mode: Mode) -> &RwLock<Arc<Catalogue>> {
        match mode {
            Mode::Live => &self.live,
            Mode::Test => &self.test,
        }
    }

    /// What is remembered of a catalogue; it may have changed since.
    pub(crate) fn catalogue(&self, mode: Mode) -> Arc<Catalogue> {
        Arc::clone(&self.shelf(mode).read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A partner as it is now, and the versions at which that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) known: Arc<Known>,
    pub(crate) versions: Versions,
}

impl Mall {
    /// A partner as it is now; reads no more than its version where nothing changed.
    pub(crate) async fn partner_now(
        &self,
        tx: &mut Tx,
        mode: Mode,
        code: &str,
    ) -> Result<Option<Seen>> {
        let Some(versions) = tx.versions(mode, code).await? else { return Ok(None) };
        if let Some(known) = self.cache.partner(mode, code)
            && known.partner.version == versions.partner
        {
            return Ok(Some(Seen { known, versions }));
        }
        let Some(partner) = tx.partner_by_code(mode, code).await? else { return Ok(None) };
        let known = self.load(tx, partner).await?;
        Ok(Some(Seen { known, versions }))
    }

    /// The same by the partner's id.
    pub(crate) async fn partner_by_id(
        &self,
        tx: &mut Tx,
        mode: Mode,
        id: PartnerId,
    ) -> Result<Option<Arc<Known>>> {
        let Some(versions) = tx.versions_by_id(mode, id).await? else { return Ok(None) };
        if let Some(known) = self.cache.partner_by_id(mode, id)
            && known.partner.version == versions.partner
        {
            return Ok(Some(known));
        }
        match tx.partner(mode, id).await? {
            Some(partner) => Ok(Some(self.load(tx, partner).await?)),
            None => Ok(None),
        }
    }

    /// Reads what belongs to a partner. The partner was read first: what is newer than its version is read
    /// again the next time.
    async fn load(&self, tx: &mut Tx, partner: Partner) -> Result<Arc<Known>> {
        let stored = tx.keys(partner.mode, partner.id).await?;
        let keys = self.open_keys(partner.mode, partner.id, &stored)?;
        let after = self.ctx.now() - self.settings.price_window;
        let mut prices: HashMap<String, Vec<DatedPrice>> = HashMap::new();
        for price in tx.prices(partner.mode, partner.id, after).await? {
            prices.entry(price.price.plan_code.clone()).or_default().push(price);
        }
        let has_groups = tx.has_groups(partner.mode, partner.id).await?;
        let endpoints = tx.push_endpoints((partner.mode, partner.id)).await?;
        let partner = Arc::new(partner);
        let known = Arc::new(Known { partner, keys, prices, has_groups, endpoints });
        if tx.is_memorable() {
            self.cache.remember(&known);
        }
        Ok(known)
    }

    /// The plans on sale at a version of the catalogue, or at a later one.
    pub(crate) async fn catalogue_at(
        &self,
        tx: &mut Tx,
        mode: Mode,
        version: i64,
    ) -> Result<Arc<Catalogue>> {
        let remembered = self.cache.catalogue(mode);
        if remembered.version == version {
            return Ok(remembered);
        }
        // The version first: what is newer than it is read again the next time.
        let mut catalogue =
            Catalogue { version: tx.catalogue_version(mode).await?, ..Catalogue::default() };
        for plan in tx.plans_on_sale(mode).await?.into_iter().map(Arc::new) {
            let of_carrier = catalogue.of_carrier.entry(plan.package.carrier.clone());
            of_carrier.or_default().push(Arc::clone(&plan));
            catalogue.plans.insert(plan.code.clone(), plan);
        }
        let catalogue = Arc::new(catalogue);
        if tx.is_memorable() {
            let mut place = self.cache.shelf(mode).write().unwrap_or_else(PoisonError::into_inner);
            *place = Arc::clone(&catalogue);
        }
        Ok(catalogue)
    }

    /// What is remembered of a partner and its catalogue, with the versions to be checked by whoever
    /// writes by it.
    pub(crate) fn remembered(&self, mode: Mode, code: &str) -> Option<(Seen, Arc<Catalogue>)> {
        let known = self.cache.partner(mode, code)?;
        let catalogue = self.cache.catalogue(mode);
        let versions = Versions { partner: known.partner.version, catalogue: catalogue.version };
        Some((Seen { known, versions }, catalogue))
    }
}
