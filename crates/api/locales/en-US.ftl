# What the API says to people, in English. The ids are the same in every language.

# Why a call failed: one message per code of the API.

code-bad-request = The request cannot be read. Please check its fields against the API document.
code-partner-unknown = There is no partner with this code. Please check partnerCode, and whether it belongs to live or to test mode.
code-partner-suspended = This partner is suspended. Please ask the operator of the mall.
code-sign-mismatch = The signature does not match the request. Please check the signing content, the scheme and the key.
code-sign-scheme-not-allowed = The signature is right, but this partner may not use its scheme here. Please sign with a scheme that the operator allowed.
code-trade-time-skew = tradeTime is too far from the server's time. Please set the clock of the caller and sign again.
code-ip-not-allowed = This partner may not call from this address. Please ask the operator to add it to the list.
code-sim-unknown = This SIM is not in the partner's stock. Please check the number of the card.
code-sim-not-sellable = No plan can be sold for this SIM at present. Please use another card or ask the operator.
code-plan-unknown = There is no such plan. Please take servicePlanCode and packageCode from the list of plans.
code-plan-not-for-sim = This plan does not fit this SIM. Please choose one from the SIM's own list of plans.
code-period-not-allowed = This plan cannot be ordered for so many periods. Please choose one of the values in orderPeriodList.
code-renewal-not-allowed = This plan does not renew by itself. Please send autoRenewal 0.
code-price-mismatch = The amount is not the price of this plan. Please fetch the list of plans again and order at its price.
code-currency-mismatch = This plan is not sold in this currency. Please use the currency that the list of plans shows.
code-order-conflict = This number was used before for something else. Please repeat the call with the same content, or take a new number.
code-order-unknown = There is no such order. Please check its number.
code-payment-unknown = There is no such payment. Please check payId.
code-renewal-unknown = There is no such auto-renewal for this SIM. Please take orderNo and payId from the auto-renewal in force.
code-renewal-ended = The auto-renewal that orgOrderId names was cancelled, or a later one took its place. Please leave orgOrderId empty to agree to a new one, or send autoRenewal 0.
code-group-unknown = There is no such group. Please take group_id from the list of groups.
code-request-unknown = There is no such operation, or it ended more than 90 days ago. Please take request_id from the answer of the call that began it.
code-payment-declined = The payment was declined by the bank. Please try another card.
code-payment-provider-unavailable = The payment provider does not answer now. Nothing is lost: please try again in a moment.
code-credit-exceeded = The order would take the partner over its credit limit. Please settle the account with the operator, then send the order again.
code-endpoint-unknown = There is no such push endpoint. Please check endpoint_id, and whether it belongs to live or to test mode.
code-endpoint-refused = The push endpoint cannot be made or changed like this.
code-event-unknown = There is no such event at this push endpoint. Please take event_id from its log.
code-not-found = There is nothing at this path. Please check the path and its prefix.
code-method-not-allowed = This path does not take this method. Please see the Allow header for those that it takes.
code-request-timeout = The request did not come in time. Please send the whole of it at once.
code-payload-too-large = The request is too large. Please send less at a time.
code-unsupported-media-type = The body is not declared as JSON. Please send Content-Type: application/json.
code-rate-limited = Too many requests. Please wait as long as the Retry-After header says.
code-unavailable = The mall cannot answer just now. Please try again after the time in the Retry-After header.
code-internal = Something went wrong in the mall, not in the request. Please try again; if it happens again, tell the operator the x-request-id.

# What is wrong with one field.

problem-missing = { $field } is missing or empty. Please send it.
problem-wrong-type = { $field } must be a text in quotation marks (a number is taken too).
problem-too-long = { $field } is too long: it may have at most { $max } characters.
problem-not-printable = { $field } has control characters, such as a line break or a tab. Please remove them.
problem-not-partner-code = { $field } is not a partner code: it has 1 to 32 letters, digits, hyphens or underscores.
problem-not-version = { $field } is not a version of this API. Please send 3.0.
problem-not-iccid = { $field } is not the number of a SIM card: it has 18 to 22 digits and nothing else.
problem-bad-check-digit = The last digit of { $field } does not fit the others. Please check the number of the card for a slip.
problem-not-count = { $field } must be a whole number from { $min } to { $max }.
problem-not-decimal = { $field } must be an amount such as 12.36: digits with at most one decimal point, without a sign or a comma.
problem-not-in-currency = { $field } has more decimals than its currency, or is too large.
problem-not-currency = { $field } is not the code of a currency. Please send three letters of ISO 4217, such as USD.
problem-not-flag = { $field } must be 0 or 1.
problem-not-word = { $field } must be one of: { $words }.
problem-not-list = { $field } must be a list of texts, such as ["89852420180910340793"].
problem-too-many-items = { $field } has too many entries: it may have at most { $max }. Please send the others in another call.
problem-not-date-time = { $field } must be a date and time that exists, written like 2022-06-07 15:10:35.
problem-not-epoch-millis = { $field } must be the time in milliseconds since 1970, such as 1654585746965, when the request is signed with hmac-sha256.
problem-not-trade-type = { $field } must be the name of the interface that is called when the request is signed with hmac-sha256.
problem-not-the-product = { $field } is not payUnit times orderPeriod. Please check the three of them.
problem-none-of-them = Neither { $field } nor a field that may take its place is there. Please send one of them.
problem-not-millis = { $field } must be a time in milliseconds since 1970, such as 1654585746965.
problem-not-cursor = { $field } is not one that this list gave. Please take next_cursor from the page before, or leave it out to begin anew.
problem-not-key = The header { $field } must stand there once, with 1 to { $max } visible ASCII characters without spaces.

# Why a signature does not match.

hint-empty-dropped = Fields with an empty text were left out of the signing content; keep them in.
hint-null-kept = Fields that are null were kept in the signing content; leave them out.
hint-path-dropped = The parameters of the path were left out of the signing content; put them in.
hint-keys-unsorted = The keys of the signing content are not in ascending byte order; sort them.
hint-spaces = The signing content has spaces between its parts; write compact JSON.
hint-non-ascii-escaped = Characters beyond ASCII were escaped in the signing content (like \u6b27); write them as they are, in UTF-8.
hint-slash-escaped = Slashes were escaped in the signing content; write / and not \/.
hint-html-escaped = The characters <, > and & were escaped in the signing content (like \u0026); write them as they are.
hint-trailing-newline = A line feed was signed with the content; sign the content alone (printf, or echo -n).
hint-number-as-string = A number of the request was signed as a text; sign it as it is sent, without quotation marks.
hint-string-as-number = A text of the request was signed as a number; sign it as it is sent, with quotation marks.
hint-upper-case-hex = The signature is written in upper case; use lower-case hexadecimal digits.
hint-wrong-length = A signature has 32 hexadecimal digits (md5, md5-key) or 64 (hmac-sha256); this one has another length.
hint-key-missing = The signature was made without a key; use the partner's key.
hint-key-retired = The signature was made with a key that is no longer valid; use the current one.
hint-key-of-other-mode = The signature was made with the key of the other mode; live and test mode have keys of their own.
hint-none = None of the usual mistakes explains this signature: a field was changed after signing, or the key is unknown. Please compare signContent with what was signed.
hint-stale-time =
    { $seconds ->
        [one] tradeTime differs from the server's clock by one second. Please set the clock of the caller.
       *[other] tradeTime differs from the server's clock by { $seconds } seconds. Please set the clock of the caller.
    }
hint-too-large = The signing content is too large to be searched for the usual mistakes. Please compare signContent with what was signed.
hint-busy = Too many signatures are being searched for mistakes just now. Please compare signContent with what was signed, or repeat the call.

# An order's outcome that contradicts a known one.

conflict-outcome = Another outcome of this order's payment was reported before, and only one can be true. Please look the order up, and ask the operator if the earlier report was wrong.

# An operation that is to be retried before it has ended.

conflict-still-runs = This operation still runs. Please ask for its result, and try again once it has ended.

# Why an order failed or waits for a person.

failure-payment-failed = The partner reported that the payment failed.
failure-carrier-unclear = The network's answer was lost and cannot be looked up. The operator decides.
failure-carrier-overdue = The network did not finish in time. The operator decides.
failure-provisioning-failed = The plan could not be put on the SIM. The operator decides.

# Why a push endpoint cannot be made or changed.

endpoint-too-many = The partner has { $max } push endpoints, which is all it may have. Please delete one first.
endpoint-two-keys = Two keys sign for this push endpoint already. Please wait until the older one retires, or rotate with overlap_hours 0 the next time.
endpoint-listener-url = A listener has no URL: its events are taken. Please leave url out, or add an endpoint of the kind url.
endpoint-no-listener = Events are taken from listeners only; this push endpoint has a URL, to which they are sent.
endpoint-url-length = url is missing, or longer than 2048 characters.
endpoint-url-characters = url has a space, a backslash or another character that must be percent-encoded.
endpoint-url-ascii = url is not ASCII. Please write the host in Punycode (xn--…) and percent-encode the rest.
endpoint-url-scheme = url must begin with https://; in test mode it may also begin with http://.
endpoint-url-user = url has the name or password of a user in it. A push is signed and needs none: please leave them out.
endpoint-url-fragment = url has a # in it, and what follows is never sent. Please leave it out.
endpoint-url-port = The port in url is not allowed. Please use 443; in test mode also 80.
endpoint-url-host = The host in url is not a name of letters, digits and hyphens between dots, or an IP address in its plain form.
endpoint-url-inside = The host in url is not a public one, and no push goes inside.
endpoint-url-spelling = url is not in its plain form. Please write it as a browser shows it, without dots and odd escapes in its path.

# What became of a SIM of an operation on a group.

result-sim-unknown = This SIM is not in the partner's stock.
result-sim-not-sellable = This SIM is terminated or suspended.
result-sim-not-for-group = This SIM is of another network than the group's bundle.
result-already-in-group = This SIM was in the group already.
result-sim-in-other-group = This SIM is in another group. Please remove it from that one first.
result-sim-not-in-group = This SIM is not in the group.
result-sim-in-review = An earlier operation left it open whether this SIM is in a group. The operator decides.
result-group-full = The group has no place left.
result-group-ended = The group's bundle has ended.
result-sim-busy = An order or another operation is under way for this SIM.
result-carrier-busy = The network takes no more at present; it is asked again.
result-carrier-working = The network is at work on it.
result-carrier-unavailable = The network cannot be reached; it is asked again.
result-carrier-refused = The network refused it.
result-carrier-refused-with = The network refused it: { $detail }.
result-carrier-did-not = The network said that it was done, and it was not.
result-carrier-unclear = It cannot be told what the network did. The operator decides.
result-cancelled = The operation was cancelled before this SIM's turn came.
result-found-done = The operator found that it was done.
result-found-undone = The operator found that it was not done.

# Why a request has no parameters that could be read.

bad-utf8 = The body is not UTF-8 text. Please send JSON in UTF-8, not compressed.
bad-json = The body is not valid JSON: the error is at line { $line }, column { $column }. JSON in UTF-8, without a byte order mark, is read.
bad-escape = A text in the body has an escape that means no character (a lone surrogate such as \ud800). Please send whole characters.
bad-body-object = The body must be a JSON object: parameters between curly brackets.
bad-query = The query string is not percent-encoded UTF-8. Please encode its names and values.
bad-duplicate = The name { $name } occurs twice. Please send it once, in the query or in the body.
bad-too-deep = The request nests too deeply: at most { $max } levels of lists and objects are read.
bad-too-many = The request has too much in it: at most { $max } parameters, and { $values } values in all, are read.
