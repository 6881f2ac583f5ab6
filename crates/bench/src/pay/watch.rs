//! Sees from outside when orders have their plans: one look at a time for all that are waited for. Reads the
//! database only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::data::Database;
use crate::floor::{Pool, Value};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(3);
/// How many orders a look asks for.
const LOOK_MAX: usize = 32;

const LOOK: &str = "SELECT order_no FROM orders WHERE mode = 'test' AND partner_id = $1
    AND state = 'PROVISIONED' AND order_no IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
    $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)";

/// Those who wait, by their orders' numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    waiting: Rc<RefCell<BTreeMap<String, oneshot::Sender<()>>>>,
}

impl Watch {
    /// Ends when an order has its plan.
    pub(super) fn plan_of(&self, order_no: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(order_no.to_owned(), sender);
        receiver
    }

    /// Looks for ever.
    pub(super) async fn look(self, database: Database) -> anyhow::Result<()> {
        let pool = Pool::readers(&database.url, 1).await?;
        let mut connection = pool.get().await?;
        let partner = database.partner.id.to_string();
        loop {
            let numbers: Vec<String> = self.waiting.borrow().keys().cloned().collect();
            for some in numbers.chunks(LOOK_MAX) {
                let mut values = vec![Value::Text(partner.clone())];
                let padded = some.iter().cloned().chain(std::iter::repeat(String::new()));
                values.extend(padded.take(LOOK_MAX).map(Value::Text));
                for row in connection.fetch(LOOK, values, 1).await? {
                    let sender = row.first().and_then(|no| self.waiting.borrow_mut().remove(no));
                    if let Some(sender) = sender {
                        // Whoever gave up does not want to know.
                        let _ = sender.send(());
                    }
                }
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}
