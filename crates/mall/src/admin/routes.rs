//! Packages' routes: which carriers are asked where a package's own refuses an order for good.

use std::collections::BTreeSet;

use domain::Mode;
use domain::package::Package;
use store::Tx;
use wire::admin::{Problem, catalogue as shape};

use super::{Change, Operator, Wrong, json};
use crate::Mall;
use crate::error::Result;

fn shown(route: &[(String, String)]) -> shape::Route {
    let words = route.iter().map(|(carrier, product)| format!("{carrier}:{product}"));
    shape::Route { route: words.collect() }
}

/// A carrier of a route with its product, as `CARRIER:PRODUCT`.
pub(crate) fn read_hop(word: &str) -> std::result::Result<(String, String), String> {
    let Some((carrier, product)) = word.split_once(':') else {
        return Err(format!("{word:?} is not CARRIER:PRODUCT"));
    };
    if carrier.is_empty() || product.is_empty() || word.chars().any(char::is_whitespace) {
        return Err(format!("{word:?} lacks its carrier or product, or has a space in it"));
    }
    Ok((carrier.to_owned(), product.to_owned()))
}

impl Mall {
    /// A package's route.
    pub async fn show_route(&self, mode: Mode, code: &str) -> Result<shape::Route> {
        let mut tx = self.store.read().await?;
        tx.package(mode, code).await?.ok_or_else(|| Problem::not_found("package"))?;
        Ok(shown(&tx.package_route(mode, code).await?))
    }

    /// Sets a package's route.
    pub async fn put_route(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        wanted: &shape::Route,
    ) -> Result<shape::Route> {
        let after = &self.read_route(mode, wanted)?;
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            // Whoever else changes the catalogue waits.
            tx.touch_catalogue(mode).await?;
            let package = tx.package(mode, code).await?;
            let package = package.ok_or_else(|| Problem::not_found("package"))?;
            if after.iter().any(|(carrier, _)| *carrier == package.carrier) {
                let detail = format!("{} is the package's own carrier", package.carrier);
                return Err(Problem::field("route", detail).into());
            }
            let before = tx.package_route(mode, code).await?;
            if before == *after {
                return Ok(shown(after));
            }
            tx.set_package_route(mode, code, after).await?;
            let change = Change {
                action: "package.route",
                mode: Some(mode),
                object: format!("packages/{code}"),
                before: json(&shown(&before)),
                after: json(&shown(after)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown(after))
        })
        .await
    }

    /// Refuses a package whose carrier is one of its own route.
    pub(super) async fn check_own_route(tx: &mut Tx, mode: Mode, package: &Package) -> Result<()> {
        let route = tx.package_route(mode, &package.code).await?;
        if route.iter().any(|(carrier, _)| *carrier == package.carrier) {
            let detail = "this carrier is in the package's route: take it out of there before";
            return Err(Problem::field("carrier", detail).into());
        }
        Ok(())
    }

    fn read_route(&self, mode: Mode, wanted: &shape::Route) -> Result<Vec<(String, String)>> {
        let (mut wrong, mut route) = (Wrong::default(), Vec::new());
        let mut carriers = BTreeSet::new();
        for word in &wanted.route {
            let Some((carrier, product)) = wrong.read("route", read_hop(word)) else { continue };
            if self.carrier(mode, &carrier).is_none() {
                wrong.add("route", format!("there is no carrier {carrier:?} in {mode} mode"));
            } else if !carriers.insert(carrier.clone()) {
                wrong.add("route", format!("{carrier} is there twice"));
            }
            route.push((carrier, product));
        }
        wrong.check()?;
        Ok(route)
    }
}
