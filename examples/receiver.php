<?php
// A receiver of pushes in PHP (8 or later), with nothing but what it brings.
//
//     PUSH_KEYS="k1=HEX k2=HEX" php -S 127.0.0.1:8099 receiver.php

declare(strict_types=1);

const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 19_999;

function header_value(string $name): string
{
    $value = $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? '';
    if ($value === '') {
        throw new RuntimeException("$name is not there");
    }
    return $value;
}

/** Throws unless the raw body was signed by the mall, and not long ago. */
function verify(string $body, array $keys): void
{
    if (header_value('x-lf-notification-version') !== '1.0' || header_value('x-lf-algo') !== 'HMAC-SHA1') {
        throw new RuntimeException('another version');
    }

    // Standard Webhooks: one signature for each key that is live at the mall.
    $signed = header_value('webhook-id') . '.' . header_value('webhook-timestamp') . '.' . $body;
    $good = false;
    foreach ($keys as $key) {
        $mine = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
        foreach (explode(' ', header_value('webhook-signature')) as $given) {
            $good = hash_equals($mine, $given) || $good;
        }
    }
    if (!$good) {
        throw new RuntimeException('webhook-signature is wrong');
    }

    // The vendor's headers: the newest key only, which may not be known here yet.
    [$id, $signature] = explode('/', header_value('x-lf-signature'), 2) + ['', ''];
    if (isset($keys[$id])) {
        $signed = $body . '1.0:HMAC-SHA1:' . header_value('x-lf-timestamp');
        if (!hash_equals(hash_hmac('sha1', $signed, $keys[$id]), $signature)) {
            throw new RuntimeException('x-lf-signature is wrong');
        }
    }

    foreach ([header_value('webhook-timestamp') . '000', header_value('x-lf-timestamp')] as $millis) {
        if (!preg_match('/^\d{1,15}$/D', $millis) || abs(microtime(true) - (int) $millis / 1000) > TOLERANCE_SECONDS) {
            throw new RuntimeException('signed too long ago, or in the future');
        }
    }
}

// Until it is known better: an error in this program must not look like success.
http_response_code(500);
$keys = [];
foreach (preg_split('/\s+/', trim((string) getenv('PUSH_KEYS'))) as $pair) {
    [$id, $key] = explode('=', $pair, 2);
    $keys[$id] = hex2bin($key);
}
$body = (string) file_get_contents('php://input', length: BODY_BYTES_MAX + 1);
if (strlen($body) > BODY_BYTES_MAX) {
    http_response_code(413);
    return;
}
try {
    verify($body, $keys);
    $event = json_decode($body, true, 64, JSON_THROW_ON_ERROR);
    if ($event['event_id'] !== header_value('webhook-id')) {
        throw new RuntimeException("another event's id");
    }
} catch (RuntimeException | JsonException $error) {
    error_log('refused: ' . $error->getMessage());
    http_response_code(401);
    return;
}
// An event may come twice; it is handled once. A real receiver inserts it under a unique index; here a
// file stands for the row.
$seen = (getenv('PUSH_SEEN') ?: sys_get_temp_dir()) . '/push-' . hash('sha256', $event['event_id']);
if (@fopen($seen, 'x') !== false) {
    error_log("event {$event['event_type']} {$event['event_id']}");
}
http_response_code(204);
