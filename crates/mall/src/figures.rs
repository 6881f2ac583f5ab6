//! Figures that are asked of the database when somebody looks, and kept for some seconds, so that looking
//! often costs the database nothing.

use std::time::Duration;

use domain::push::EndpointState;
use domain::{Mode, Span, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use store::{KindFigure, OpenOrders, PushFigure, Store};
use tokio::sync::Mutex;

use crate::Mall;
use crate::error::Result;
use crate::metrics::{InState, OfKind, OfMode, OfPool};

/// For how long figures of the database are good.
const FIGURES_AGE_MAX: Span = Span::seconds(10);
/// How long the database may take over them.
const FIGURES_TIMEOUT: Duration = Duration::from_secs(5);
/// A paid order whose provisioning was put off for longer is not counted as being provisioned.
const PUT_OFF_MAX: Span = Span::minutes(360);

/// Waits for connections, which the store counts.
#[derive(Debug)]
pub(crate) struct PoolWaits(pub(crate) Store);

impl Collector for PoolWaits {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let (mut counts, mut seconds) = (Vec::new(), Vec::new());
        for of in self.0.waits() {
            let label = [("to", of.name)];
            counts.push((label, ConstCounter::new(of.count)));
            seconds.push((label, ConstCounter::new(of.waited.as_secs_f64())));
        }
        let help = "Waits of a millisecond or more for a connection to the database";
        let kind = MetricType::Counter;
        let mut family = encoder.encode_descriptor("simmall_pool_waits", help, None, kind)?;
        for (label, counter) in counts {
            counter.encode(family.encode_family(&label)?)?;
        }
        let help = "How long those waits took";
        let mut family =
            encoder.encode_descriptor("simmall_pool_wait_seconds", help, None, kind)?;
        for (label, counter) in seconds {
            counter.encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}

/// When the figures were last asked for. One look at a time.
pub(crate) type LastLook = Mutex<Option<Timestamp>>;

impl Mall {
    /// All figures in the text format of Prometheus.
    pub async fn metrics_text(&self) -> String {
        let mut last = self.last_look.lock().await;
        let now = self.ctx.now();
        if last.is_none_or(|last| now.since(last) >= FIGURES_AGE_MAX || now < last) {
            *last = Some(now);
            let looked = tokio::time::timeout(FIGURES_TIMEOUT, self.look(now)).await;
            let looked = looked.map_err(|_| "no answer in time".to_owned());
            if let Err(error) = looked.and_then(|done| done.map_err(|error| error.to_string())) {
                // Old figures would look like true ones.
                self.forget_figures();
                tracing::warn!(error, "the database's figures cannot be read");
            }
        }
        self.count_connections();
        self.metrics.text()
    }

    async fn look(&self, now: Timestamp) -> Result<()> {
        let (due, dead) = (self.store.jobs_due(now).await?, self.store.jobs_dead().await?);
        let open = self.store.open_orders(now + PUT_OFF_MAX).await?;
        let pushes = self.store.push_figures().await?;
        self.forget_figures();
        self.show_pushes(&pushes, now);
        self.show_jobs(&due, &dead, now);
        self.show_orders(&open);
        for (mode, money, plans) in self.imbalance().await? {
            let of = OfMode::new(mode);
            self.metrics.paid_without_plan.get_or_create(&of).set(money);
            self.metrics.plans_without_payment.get_or_create(&of).set(plans);
        }
        Ok(())
    }

    fn forget_figures(&self) {
        let metrics = &self.metrics;
        for family in [&metrics.jobs_due, &metrics.jobs_age_seconds, &metrics.jobs_dead] {
            family.clear();
        }
        metrics.push_endpoints.clear();
        metrics.push_endpoints_failing.clear();
        metrics.pushes_waiting.clear();
        metrics.pushes_age_seconds.clear();
        metrics.orders_open.clear();
        metrics.paid_without_plan.clear();
        metrics.plans_without_payment.clear();
    }

    fn show_jobs(&self, due: &[KindFigure], dead: &[KindFigure], now: Timestamp) {
        let metrics = &self.metrics;
        for kind in store::JobKind::ALL {
            // Nothing due is a figure too.
            let kind = OfKind::new(kind.as_str());
            metrics.jobs_due.get_or_create(&kind).set(0);
            metrics.jobs_age_seconds.get_or_create(&kind).set(0);
            metrics.jobs_dead.get_or_create(&kind).set(0);
        }
        for figure in due {
            let kind = OfKind::new(&figure.kind);
            metrics.jobs_due.get_or_create(&kind).set(figure.count);
            let age = now.since(figure.oldest).as_micros() / 1_000_000;
            metrics.jobs_age_seconds.get_or_create(&kind).set(age);
        }
        for figure in dead {
            metrics.jobs_dead.get_or_create(&OfKind::new(&figure.kind)).set(figure.count);
        }
    }

    fn show_pushes(&self, figures: &[PushFigure], now: Timestamp) {
        let metrics = &self.metrics;
        for mode in Mode::ALL {
            for state in EndpointState::ALL {
                let of =
                    |figure: &&PushFigure| figure.mode == mode && figure.state == state.as_str();
                let found = figures.iter().find(of);
                let label = InState::new(mode, state.as_str());
                let count = found.map_or(0, |figure| figure.endpoints);
                metrics.push_endpoints.get_or_create(&label).set(count);
                let count = found.map_or(0, |figure| figure.waiting);
                metrics.pushes_waiting.get_or_create(&label).set(count);
                if state == EndpointState::On {
                    let label = OfMode::new(mode);
                    let failing = found.map_or(0, |figure| figure.failing);
                    metrics.push_endpoints_failing.get_or_create(&label).set(failing);
                    let oldest = found.and_then(|figure| figure.oldest);
                    let age = oldest.map_or(0, |at| now.since(at).as_micros() / 1_000_000);
                    metrics.pushes_age_seconds.get_or_create(&label).set(age.max(0));
                }
            }
        }
    }

    fn show_orders(&self, open: &[OpenOrders]) {
        for (state, shown) in [
            ("AWAITING_PAYMENT", "awaiting_payment"),
            ("PAID", "provisioning"),
            ("REVIEW", "review"),
        ] {
            for mode in Mode::ALL {
                let found = open.iter().find(|of| of.mode == mode && of.state == state);
                let gauge = InState::new(mode, shown);
                let count = found.map_or(0, |of| of.count);
                self.metrics.orders_open.get_or_create(&gauge).set(count);
            }
        }
    }

    fn count_connections(&self) {
        for pool in self.store.pools() {
            let of = OfPool::new(pool.name);
            self.metrics.pool_connections.get_or_create(&of).set(pool.connections.into());
            let idle = i64::try_from(pool.idle).unwrap_or(i64::MAX);
            self.metrics.pool_idle.get_or_create(&of).set(idle);
        }
    }
}
