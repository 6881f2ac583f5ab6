"""Drives a running `simmall stripe-double` with Stripe's own client. Arguments: the binary, a directory."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request

import stripe

# Longer than anything here takes on a slow machine.
WAIT_SECONDS_MAX = 60
SECRET = "whsec_drive"
received = []
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        received.append(stripe.Webhook.construct_event(body, self.headers["stripe-signature"], SECRET))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def start(binary, state, hook, listen="127.0.0.1:0"):
    environment = {"PATH": os.environ["PATH"], "SIMMALL_WEBHOOK_SECRET": SECRET}
    double = subprocess.Popen(
        [binary, "stripe-double", "--listen", listen, "--webhook-url", hook, "--state", state, "--log", "warn"],
        stdout=subprocess.PIPE, text=True, env=environment)
    line = next((line for line in double.stdout if line.startswith("listening on ")), None)
    assert line, "the double did not start"
    stripe.api_base = line.split()[-1]
    return double


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{stripe.api_base}/_double/{path}", data=data, method=method)
    with opener.open(request, timeout=WAIT_SECONDS_MAX) as answer:
        return json.load(answer)


def refused(kind, ask, **expected):
    try:
        ask()
    except kind as error:
        for name, value in expected.items():
            assert getattr(error, name, None) == value or error.error.get(name) == value, (name, error.json_body)
        return error
    raise AssertionError(f"no {kind.__name__}")


def intent(customer, payment, **more):
    return stripe.PaymentIntent.create(
        amount=499, currency="usd", customer=customer, metadata={"payment": payment, "order": "o1"},
        automatic_payment_methods={"enabled": True}, **more)


def pays(customer):
    made = intent(customer, "pay_1", idempotency_key="k1")
    again = intent(customer, "pay_1", idempotency_key="k1")
    assert again.id == made.id and again.last_response.headers["idempotent-replayed"] == "true"
    refused(stripe.IdempotencyError, lambda: intent(customer, "pay_2", idempotency_key="k1"))
    assert made.status == "requires_payment_method" and made.client_secret.startswith(f"{made.id}_secret_")
    # The end user's program, with a publishable key.
    paid = stripe.PaymentIntent.confirm(
        made.id, api_key="pk_test_1", client_secret=made.client_secret, return_url="https://a.test",
        payment_method_data={"type": "card", "card": {
            "number": "4242424242424242", "exp_month": 12, "exp_year": 2030, "cvc": "123"}})
    assert paid.status == "succeeded"
    seen = stripe.PaymentIntent.retrieve(made.id, expand=["latest_charge.balance_transaction"])
    line = seen.latest_charge.balance_transaction
    assert (line.amount, line.fee, line.net, line.type) == (499, 44, 455, "charge")
    found = stripe.PaymentIntent.search(query="metadata['payment']:'pay_1'")
    assert [found.id for found in found.data] == [made.id]
    refused(stripe.InvalidRequestError, lambda: stripe.PaymentIntent.cancel(made.id),
            code="payment_intent_unexpected_state", http_status=400)
    return made.id


def declines(customer):
    made = intent(customer, "pay_3")
    confirm = lambda: stripe.PaymentIntent.confirm(  # noqa: E731
        made.id, payment_method="pm_card_chargeDeclinedInsufficientFunds", return_url="https://a.test",
        idempotency_key="k3")
    for _ in range(2):
        error = refused(stripe.CardError, confirm, code="card_declined", http_status=402)
        assert error.error.decline_code == "insufficient_funds"
    assert len(stripe.Charge.list(payment_intent=made.id).data) == 1
    made = intent(customer, "pay_4")
    waits = stripe.PaymentIntent.confirm(
        made.id, payment_method="pm_card_threeDSecure2Required", return_url="https://a.test")
    assert waits.status == "requires_action"
    assert control("POST", f"pay/{made.id}", {"authenticate": True})["status"] == "succeeded"
    gone = intent(customer, "pay_5")
    assert stripe.PaymentIntent.cancel(gone.id).status == "canceled"


def saves(customer):
    method = stripe.PaymentMethod.attach("pm_card_visa", customer=customer)
    assert [m.id for m in stripe.PaymentMethod.list(customer=customer, type="card")] == [method.id]
    paid = intent(customer, "pay_6", payment_method=method.id, confirm=True, off_session=True)
    assert paid.status == "succeeded"
    error = refused(stripe.CardError, lambda: intent(
        customer, "pay_7", payment_method="pm_card_authenticationRequired", confirm=True, off_session=True))
    assert error.code == "authentication_required"
    key = stripe.EphemeralKey.create(customer=customer, stripe_version=stripe.api_version)
    assert key.secret.startswith("ek_test_")


def refunds(customer, paid):
    part = stripe.Refund.create(payment_intent=paid, amount=100, metadata={"payment": "pay_1"}, idempotency_key="r1")
    assert stripe.Refund.create(
        payment_intent=paid, amount=100, metadata={"payment": "pay_1"}, idempotency_key="r1").id == part.id
    refused(stripe.InvalidRequestError, lambda: stripe.Refund.create(payment_intent=paid, amount=400), param="amount")
    assert stripe.Refund.create(payment_intent=paid).amount == 399
    refused(stripe.InvalidRequestError, lambda: stripe.Refund.create(payment_intent=paid), code="charge_already_refunded")
    assert len(stripe.Refund.list(payment_intent=paid).data) == 2
    for card, first, last in [("pm_card_pendingRefund", "pending", "succeeded"), ("pm_card_refundFail", "succeeded", "failed")]:
        made = intent(customer, card)
        control("POST", f"pay/{made.id}", {"card": card})
        refund = stripe.Refund.create(payment_intent=made.id)
        assert refund.status == first
        control("POST", "clock", {"advance_seconds": 60})
        assert stripe.Refund.retrieve(refund.id).status == last
    made = intent(customer, "pay_d")
    control("POST", f"pay/{made.id}", {"card": "pm_card_createDispute"})
    dispute = stripe.Dispute.list(payment_intent=made.id).data[0]
    assert (dispute.reason, dispute.status, dispute.amount) == ("fraudulent", "needs_response", 499)


def disputes(customer):
    """Answered with evidence: won, lost, or given up; the books and the fee follow."""
    def disputed(payment):
        made = intent(customer, payment)
        control("POST", f"pay/{made.id}", {"card": "pm_card_createDispute"})
        return stripe.Dispute.list(payment_intent=made.id).data[0].id

    dispute = disputed("pay_won")
    assert stripe.Dispute.modify(dispute, evidence={"customer_name": "Jane"}, submit=False).status == "needs_response"
    sent = stripe.Dispute.modify(dispute, evidence={"uncategorized_text": "winning_evidence"}, submit=True)
    assert (sent.status, sent.evidence.customer_name, sent.evidence_details.submission_count) == ("under_review", "Jane", 1)
    won = stripe.Dispute.retrieve(dispute)
    assert won.status == "won"
    lines = [(line.amount, line.fee, line.net) for line in won.balance_transactions]
    assert lines == [(-499, 1500, -1999), (499, -1500, 1999)], lines
    dispute = disputed("pay_lost")
    stripe.Dispute.modify(dispute, evidence={"uncategorized_text": "losing_evidence"})
    assert stripe.Dispute.retrieve(dispute).status == "lost"
    dispute = disputed("pay_up")
    assert stripe.Dispute.close(dispute).status == "lost"
    refused(stripe.InvalidRequestError, lambda: stripe.Dispute.close(dispute))
    listed = stripe.Event.list(types=["charge.dispute.closed", "charge.dispute.funds_reinstated"]).data
    assert [event.type.split(".")[-1] for event in listed] == ["closed", "closed", "funds_reinstated", "closed"]


def faults(customer):
    control("POST", "faults", {"kind": "drop_after", "method": "POST", "path": "/v1/payment_intents"})
    refused(stripe.APIConnectionError, lambda: intent(customer, "pay_8", idempotency_key="k8"))
    made = intent(customer, "pay_8", idempotency_key="k8")
    assert len(stripe.PaymentIntent.search(query="metadata['payment']:'pay_8'").data) == 1, made
    control("POST", "faults", {"kind": "status", "status": 429, "path": "/v1/events"})
    refused(stripe.RateLimitError, stripe.Event.list)
    refused(stripe.AuthenticationError, lambda: stripe.Event.list(api_key="sk_live_1"))
    refused(stripe.InvalidRequestError, lambda: stripe.Customer.create(nonsense=1), code="parameter_unknown")
    error = refused(stripe.InvalidRequestError, lambda: stripe.PaymentIntent.retrieve("pi_none"), http_status=404)
    assert error.code == "resource_missing" and error.request_id


def subscribes(customer):
    setup = stripe.SetupIntent.create(customer=customer)
    stripe.SetupIntent.confirm(setup.id, payment_method="pm_card_visa", return_url="https://a.test")
    method = stripe.SetupIntent.retrieve(setup.id).payment_method
    assert stripe.PaymentMethod.retrieve(method).customer == customer
    product = stripe.Product.create(name="plan")
    price = stripe.Price.create(currency="usd", unit_amount=499, product=product.id, lookup_key="plan-30",
                                recurring={"interval": "day", "interval_count": 30})
    assert stripe.Price.list(lookup_keys=["plan-30"]).data[0].id == price.id
    begun = stripe.Subscription.create(
        customer=customer, items=[{"price": price.id}], default_payment_method=method, off_session=True,
        metadata={"renewal": "ren_1"}, expand=["latest_invoice.payment_intent"], idempotency_key="s1")
    assert begun.status == "active" and begun.latest_invoice.payment_intent.status == "succeeded"
    refused(stripe.CardError, lambda: stripe.Subscription.create(
        customer=customer, items=[{"price": price.id}], payment_behavior="error_if_incomplete",
        default_payment_method="pm_card_chargeDeclined"), code="card_declined")
    control("POST", "clock", {"advance_seconds": 30 * 86_400 + 3_600})
    invoices = stripe.Invoice.list(subscription=begun.id).data
    assert [(invoice.status, invoice.billing_reason) for invoice in invoices] == [
        ("paid", "subscription_cycle"), ("paid", "subscription_create")]
    assert stripe.Subscription.modify(begun.id, cancel_at_period_end=True).cancel_at_period_end
    control("POST", "clock", {"advance_seconds": 30 * 86_400})
    assert stripe.Subscription.retrieve(begun.id).status == "canceled"


def clocks():
    """A clock is advanced by three months: three more invoices are paid. Then the card declines."""
    clock = stripe.test_helpers.TestClock.create(frozen_time=1_772_323_200, name="renewals")  # The first of March.
    customer = stripe.Customer.create(email="c@b.test", test_clock=clock.id).id
    cards = [stripe.PaymentMethod.attach(card, customer=customer).id
             for card in ("pm_card_visa", "pm_card_chargeCustomerFail")]
    price = stripe.Price.create(currency="usd", unit_amount=999, product=stripe.Product.create(name="monthly").id,
                                recurring={"interval": "month"})
    begun = stripe.Subscription.create(
        customer=customer, items=[{"price": price.id}], default_payment_method=cards[0])
    assert (begun.status, begun.created, begun.test_clock) == ("active", 1_772_323_200, clock.id)

    def advance(seconds):
        at = stripe.test_helpers.TestClock.retrieve(clock.id).frozen_time + seconds
        assert stripe.test_helpers.TestClock.advance(clock.id, frozen_time=at).status == "advancing"
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (now := stripe.test_helpers.TestClock.retrieve(clock.id)).status != "ready":
            assert time.monotonic() < deadline
        assert now.frozen_time == at

    refused(stripe.InvalidRequestError, lambda: advance(92 * 86_400), param="frozen_time")
    advance(61 * 86_400)
    advance(31 * 86_400 + 3_600)
    invoices = stripe.Invoice.list(subscription=begun.id, expand=["data.charge.balance_transaction"]).data
    assert [(invoice.status, invoice.billing_reason) for invoice in invoices] == [
        ("paid", "subscription_cycle")] * 3 + [("paid", "subscription_create")]
    # June, May, April; each is paid an hour after it was drafted.
    months = [1_780_272_000, 1_777_593_600, 1_775_001_600]
    assert [invoice.created for invoice in invoices[:3]] == months
    assert [invoice.charge.created for invoice in invoices[:3]] == [month + 3_600 for month in months]
    assert [invoice.charge.balance_transaction.amount for invoice in invoices] == [999] * 4
    ready = stripe.Event.list(type="test_helpers.test_clock.ready").data
    assert [event.created for event in ready] == [months[0] + 3_600, 1_777_593_600]
    stripe.Subscription.modify(begun.id, default_payment_method=cards[1])
    advance(30 * 86_400)
    seen = stripe.Subscription.retrieve(begun.id, expand=["latest_invoice"])
    assert (seen.status, seen.latest_invoice.status) == ("past_due", "open")
    assert seen.latest_invoice.next_payment_attempt > 1_782_864_000
    other = stripe.test_helpers.TestClock.create(frozen_time=1_772_323_200)
    gone = stripe.Customer.create(test_clock=other.id).id
    assert [clock.id for clock in stripe.test_helpers.TestClock.list().data] == [other.id, clock.id]
    assert stripe.test_helpers.TestClock.delete(other.id).deleted
    assert stripe.Customer.retrieve(gone).deleted


def events():
    """Every event is listed once, and delivered with a signature that Stripe's client believes."""
    control("POST", "clock", {"advance_seconds": 5})
    listed = [event.id for event in stripe.Event.list(limit=7).auto_paging_iter()]
    assert len(listed) == len(set(listed)) > 20
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while {event.id for event in received} != set(listed) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert {event.id for event in received} == set(listed)
    kinds = {event.type for event in received}
    for kind in ["payment_intent.succeeded", "payment_intent.payment_failed", "charge.refunded", "refund.failed",
                 "charge.dispute.created", "payment_method.attached", "customer.created", "invoice.paid",
                 "customer.subscription.deleted", "setup_intent.succeeded", "charge.dispute.funds_reinstated",
                 "test_helpers.test_clock.ready"]:
        assert kind in kinds, kind


def main(binary, directory):
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    state, url = f"{directory}/state", f"http://127.0.0.1:{hook.server_port}/hook"
    stripe.api_key, stripe.api_version, stripe.max_network_retries = "sk_test_1", "2025-02-24.acacia", 0
    double = start(binary, state, url)
    try:
        customer = stripe.Customer.create(email="a@b.test", idempotency_key="c1").id
        paid = pays(customer)
        declines(customer)
        saves(customer)
        refunds(customer, paid)
        disputes(customer)
        faults(customer)
        subscribes(customer)
        clocks()
        events()
        kept = stripe.Customer.create(email="a@b.test", idempotency_key="c2").id
        before = [str(event) for event in stripe.Event.list(limit=100).auto_paging_iter()]
        journal = control("GET", "journal")
        assert journal["by_payment"]["pay_1"] == {"charges": 1, "charged": 499, "refunds": 2, "refunded": 499}
        double.kill()
        double.wait()
        double = start(binary, state, url)
        after = [str(event) for event in stripe.Event.list(limit=100).auto_paging_iter()]
        assert before == after and control("GET", "journal") == journal
        assert stripe.Customer.create(email="a@b.test", idempotency_key="c2").id == kept
    finally:
        double.kill()
        double.wait()
    print(f"all of it holds; {len(received)} webhooks")


main(*sys.argv[1:])
