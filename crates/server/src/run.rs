//! A running mall: its listener, its workers, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::{EarlyAnswers, TrustedProxies};
use carriers::{Behaviour, Carriers};
use domain::{Ctx, Mode};
use mall::{Cashiers, Mall, Settings};
use pushes::Sender;
use store::{Sealer, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::carriers_file;
use crate::listener::{self, Limits};
use crate::process::Process;

/// How long a stopping server waits for what still runs.
const STOP_TIMEOUT: Duration = Duration::from_secs(28);
/// How long it then waits for the database's connections and the request log; 30 seconds in all.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything a mall is made of.
#[derive(Debug)]
pub struct Wiring {
    /// An open database with a current schema.
    pub store: Store,
    /// Clock and randomness.
    pub ctx: Ctx,
    /// Seals secrets at rest.
    pub sealer: Sealer,
    /// What the operator set.
    pub settings: Settings,
    /// How the built-in network behaves.
    pub simulator: Behaviour,
    /// The other networks.
    pub carriers: Carriers,
    /// The accounts that take the money.
    pub cashiers: Cashiers,
    /// Sends pushes.
    pub sender: Sender,
    /// Which mode the paths without a prefix mean.
    pub root_mode: Option<Mode>,
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// Where the admin API listens, apart from the partners' one; `None` leaves it out.
    pub admin_listen: Option<SocketAddr>,
    /// What connections may cost.
    pub limits: Limits,
    /// The proxies that are believed.
    pub proxies: TrustedProxies,
}

/// A mall that accepts requests.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the admin API listens.
    pub admin_address: Option<SocketAddr>,
    /// The mall itself.
    pub mall: Arc<Mall>,
    stop: watch::Sender<bool>,
    /// Told when those that heed `stop` have ended: until then operators can watch, and requests are
    /// logged.
    last: watch::Sender<bool>,
    server: JoinHandle<()>,
    admin: JoinHandle<()>,
    workers: JoinHandle<()>,
    request_log: JoinHandle<()>,
}

/// The addresses a mall has taken.
#[derive(Debug)]
pub(crate) struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
}

/// Builds a mall over its wiring.
pub(crate) fn build(wiring: &Wiring) -> Arc<Mall> {
    let mut carriers = carriers_file::built_in(&wiring.ctx, wiring.simulator);
    carriers.extend(wiring.carriers.clone());
    let (store, ctx) = (wiring.store.clone(), wiring.ctx.clone());
    let others = (carriers, wiring.cashiers.clone(), wiring.sender.clone());
    Arc::new(Mall::new(store, ctx, others, wiring.sealer.clone(), wiring.settings))
}

/// Starts a mall.
pub async fn start(wiring: Wiring) -> anyhow::Result<Running> {
    let listeners = bind(&wiring).await?;
    let mall = build(&wiring);
    mall.check_sealing_key().await.context("the sealing key does not fit the database")?;
    // Before anything gets a date.
    mall.clock(Mode::Test).await.context("the test mode's clock cannot be read")?;
    serve(mall, listeners, &wiring)
}

/// Takes the addresses, before anything is done that could not be done again.
pub(crate) async fn bind(wiring: &Wiring) -> anyhow::Result<Listeners> {
    let bind = async |listen: SocketAddr| {
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))
    };
    let public = bind(wiring.listen).await?;
    let admin = match wiring.admin_listen {
        Some(listen) => Some(bind(listen).await.context("the admin API")?),
        None => None,
    };
    Ok(Listeners { public, admin })
}

/// Starts to accept requests and to run jobs.
pub(crate) fn serve(
    mall: Arc<Mall>,
    listeners: Listeners,
    wiring: &Wiring,
) -> anyhow::Result<Running> {
    let Listeners { public, admin } = listeners;
    let address = public.local_addr()?;
    let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;
    mall.metrics().register(Box::new(Process));
    let (stop, stopped) = watch::channel(false);
    let jobs = mall::run_workers(Arc::clone(&mall), stopped.clone());
    let seals = mall::run_sealer(Arc::clone(&mall), stopped.clone());
    let checkpoints = mall::run_checkpoints(Arc::clone(&mall), stopped.clone());
    let reconciler = mall::run_reconciler(Arc::clone(&mall), stopped.clone());
    let sweep = mall::run_sim_sweep(Arc::clone(&mall), stopped.clone());
    let relay = mall::run_relay(Arc::clone(&mall), stopped.clone());
    let push_sweep = mall::run_push_sweep(Arc::clone(&mall), stopped.clone());
    let workers = tokio::spawn(async move {
        tokio::join!(jobs, seals, checkpoints, reconciler, sweep, relay, push_sweep);
    });
    let (limits, proxies) = (wiring.limits, wiring.proxies.clone());
    let router = api::router(&mall, wiring.root_mode, limits.request_time_max);
    let pages = (router, EarlyAnswers::for_partners(&mall));
    let server = listener::serve(public, pages, limits, proxies.clone(), stopped);
    let server = tokio::spawn(server);
    let (last, told_last) = watch::channel(false);
    let request_log = tokio::spawn(mall::run_request_log(Arc::clone(&mall), told_last.clone()));
    let pages = (api::admin::router(&mall), EarlyAnswers::for_operators(&mall));
    let admin = tokio::spawn(async move {
        match admin {
            Some(admin) => {
                listener::serve(admin, pages, limits.for_admin(), proxies, told_last).await;
            }
            None => listener::told(told_last).await,
        }
    });
    Ok(Running { address, admin_address, mall, stop, last, server, admin, workers, request_log })
}

impl Running {
    /// Stops: no new requests and jobs, those that run are finished, for 30 seconds at most.
    pub async fn stop(self) {
        self.mall.set_stopping();
        // Nobody to tell means that all have stopped already.
        let _ = self.stop.send(true);
        let (server, workers) = (self.server.abort_handle(), self.workers.abort_handle());
        let admin = self.admin.abort_handle();
        let finished = async {
            let _ = tokio::join!(self.server, self.workers);
            let _ = self.last.send(true);
            let _ = tokio::join!(self.admin, self.request_log);
        };
        if tokio::time::timeout(STOP_TIMEOUT, finished).await.is_err() {
            tracing::warn!("some requests or jobs did not finish in time and were cut off");
            server.abort();
            admin.abort();
            workers.abort();
            let written = tokio::time::timeout(CLOSE_TIMEOUT, self.mall.write_request_log()).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::warn!("the last entries of the request log are not written");
            }
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, self.mall.store().close()).await.is_err() {
            tracing::warn!("some database connections did not close in time");
        }
    }

    /// Serves until told to stop, then stops. A mall that loses its listener or its workers must not
    /// go on taking orders: that is an error.
    pub(crate) async fn until(mut self, told: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            () = told => {}
            _ = &mut self.server => anyhow::bail!("the listener ended by itself"),
            _ = &mut self.admin => anyhow::bail!("the admin API's listener ended by itself"),
            _ = &mut self.workers => anyhow::bail!("the workers ended by themselves"),
        }
        tracing::info!("stopping");
        self.stop().await;
        Ok(())
    }
}

/// Ends when the process is told to stop (SIGTERM or SIGINT). It heeds signals as soon as it is
/// called, which must be before anybody is told that the server listens.
pub(crate) fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
