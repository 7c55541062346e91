//! The subscriptions of a connection: from when to when each hears of the changes of its handle's area.

use std::sync::Arc;
use std::time::Duration;

use super::{Connection, StorageArea, not_open};
use crate::bottle::Subscribed;
use crate::broadcast::{Filter, Held, Listener};
use crate::error::{Error, Result};
use crate::protocol::{Handle, SubscriptionId};
use crate::sqlite::AreaRow;
use crate::wait::Wait;

/// What a subscription is to bring.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own, as the params of the call are")]
pub struct SubscriptionWish {
    /// Which keys.
    pub filter: Filter,
    /// Whether with values.
    pub values: bool,
    /// Whether also the handle's own changes.
    pub include_self: bool,
    /// The last change that is known already.
    pub since: Option<u64>,
    /// Whether the items are to be read at the moment from which on changes are told.
    pub items: bool,
    /// Whether changes of the quota and of the number of other processes that listen are told too.
    pub quota: bool,
}

impl Connection {
    /// Subscribes a handle to the changes of its area.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; those of the database.
    pub fn subscribe(&mut self, handle: Handle, wish: SubscriptionWish) -> Result<(SubscriptionId, Subscribed)> {
        self.end_group();
        let subscription = self.next_subscription;
        let storage = self.handles.get(&handle).ok_or_else(|| not_open(handle))?;
        let listener = Listener {
            connection: self.number,
            subscription,
            storage: handle,
            filter: wish.filter,
            values: wish.values,
            include_self: wish.include_self,
            tells_quota: wish.quota,
            framing: self.replies.framing(),
            ill_formed: self.replies.ill_formed(),
            output: self.output.clone(),
            held: Some(Held::default()),
        };
        let subscribed = match &storage.area {
            StorageArea::Session(id) => {
                let id = *id;
                let session = self.session()?;
                let (area, database) = session.area(id)?;
                let items = if wish.items { Some(area.all_entries(database)?) } else { None };
                let AreaRow { sequence, quota, .. } = *area.row();
                session.listen(id, |listeners| listeners.add(listener));
                Subscribed { sequence, gap: wish.since.is_some_and(|since| since != sequence), quota, others: 0, items }
            }
            StorageArea::Persistent(bottle) => {
                let bottle = Arc::clone(bottle);
                let watch = self.shed()?.watch(&bottle)?;
                bottle.lock(&self.wait)?.subscribe(listener, wish.since, wish.items, &watch)?
            }
        };
        self.next_subscription += 1;
        self.subscriptions.insert(subscription, handle);
        self.unreleased.push(subscription);
        Ok((subscription, subscribed))
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none with this id; [`Error::Timeout`] or [`Error::Cancelled`] if other
    /// connections kept its area, and then it goes on.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) -> Result<()> {
        self.end_group();
        let handle = *self.subscriptions.get(&subscription).ok_or_else(|| {
            Error::NotFound(format!("subscription: {subscription} is no subscription of this connection; storage/subscribe makes one"))
        })?;
        self.end_subscriptions(handle, |ended| ended == subscription)
    }

    /// Lets the events of new subscriptions go out. To be called when the replies are out.
    pub fn release_subscriptions(&mut self) {
        // These calls have been answered, so nobody can cancel this. Whoever uses the file has a wait of its own, which
        // bounds this one.
        let wait = Wait::at_most(Duration::MAX);
        for subscription in std::mem::take(&mut self.unreleased) {
            let number = self.number;
            let Some(storage) = self.subscriptions.get(&subscription).and_then(|handle| self.handles.get(handle)) else { continue };
            match &storage.area {
                StorageArea::Session(id) => {
                    if let Some(session) = &mut self.session {
                        session.listen(*id, |listeners| listeners.release(number, subscription));
                    }
                }
                StorageArea::Persistent(bottle) => match bottle.lock(&wait) {
                    Ok(mut file) => file.listeners().release(number, subscription),
                    Err(error) => tracing::error!(%error, "a subscription was not released"),
                },
            }
        }
    }

    /// Ends the subscriptions of a handle that `which` chooses.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::Cancelled`] if other connections kept the area.
    pub(super) fn end_subscriptions(&mut self, handle: Handle, which: impl Fn(SubscriptionId) -> bool) -> Result<()> {
        if !self.subscriptions.values().any(|listening| *listening == handle) {
            return Ok(());
        }
        self.end_group();
        let number = self.number;
        let ended = |listener: &Listener| listener.storage == handle && which(listener.subscription);
        let mut held = None;
        match self.handles.get(&handle).map(|storage| &storage.area) {
            Some(StorageArea::Session(id)) => {
                if let Some(session) = &mut self.session {
                    held = session.listen(*id, |listeners| {
                        let held = listeners.take_held(number, ended);
                        listeners.remove(number, ended);
                        held
                    });
                }
            }
            Some(StorageArea::Persistent(bottle)) => {
                let mut file = bottle.lock(&self.wait)?;
                held = Some(file.listeners().take_held(number, ended));
                let watch = file.unsubscribe(number, ended);
                drop(file);
                // Its end waits for its thread, which may be looking at the bottle.
                drop(watch);
            }
            None => {}
        }
        // What happened while the subscription's own reply waited goes out between that and the reply to its end.
        self.replies.notifications(&held.unwrap_or_default());
        let output = &self.output;
        self.subscriptions.retain(|subscription, listening| {
            let ends = *listening == handle && which(*subscription);
            if ends {
                output.forget_notice(u64::from(*subscription));
            }
            !ends
        });
        Ok(())
    }
}
