// A receiver of pushes in Java (17 or later), with nothing but its standard library.
//
//     PUSH_KEYS="k1=HEX k2=HEX" PORT=8099 java Receiver.java

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receiver {
    static final long TOLERANCE_MS = 300_000;
    static final int BODY_BYTES_MAX = 19_999;
    static final Map<String, byte[]> KEYS = new HashMap<>();
    // A real receiver keeps the events in its database, under a unique index.
    static final Set<String> SEEN = ConcurrentHashMap.newKeySet();

    public static void main(String[] arguments) throws IOException {
        for (String pair : System.getenv("PUSH_KEYS").trim().split("\\s+")) {
            String[] key = pair.split("=", 2);
            KEYS.put(key[0], HexFormat.of().parseHex(key[1]));
        }
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", Receiver::receive);
        server.start();
        System.err.println("listening on port " + server.getAddress().getPort());
    }

    static void receive(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readNBytes(BODY_BYTES_MAX + 1);
        int status = 204;
        if (body.length > BODY_BYTES_MAX) {
            status = 413;
        } else {
            try {
                verify(exchange, body);
                // The id is part of what was signed, so that no JSON has to be read to trust it.
                String id = header(exchange, "webhook-id");
                // An event may come twice; it is handled once.
                if (SEEN.add(id)) {
                    System.out.println("event " + id + " of " + body.length + " bytes");
                }
            } catch (GeneralSecurityException | NumberFormatException error) {
                System.out.println("refused: " + error.getMessage());
                status = 401;
            }
        }
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    /** Throws unless the raw body was signed by the mall, and not long ago. */
    static void verify(HttpExchange exchange, byte[] body) throws GeneralSecurityException {
        if (!header(exchange, "x-lf-notification-version").equals("1.0")
                || !header(exchange, "x-lf-algo").equals("HMAC-SHA1")) {
            throw new GeneralSecurityException("another version");
        }

        // Standard Webhooks: one signature for each key that is live at the mall.
        String seconds = header(exchange, "webhook-timestamp");
        byte[] head = bytes(header(exchange, "webhook-id") + "." + seconds + ".");
        boolean signed = false;
        for (byte[] key : KEYS.values()) {
            byte[] mac = mac("HmacSHA256", key, head, body);
            byte[] good = bytes("v1," + Base64.getEncoder().encodeToString(mac));
            for (String given : header(exchange, "webhook-signature").split(" ")) {
                signed |= MessageDigest.isEqual(good, bytes(given));
            }
        }
        if (!signed) {
            throw new GeneralSecurityException("webhook-signature is wrong");
        }

        // The vendor's headers: the newest key only, which may not be known here yet.
        String millis = header(exchange, "x-lf-timestamp");
        String[] lf = header(exchange, "x-lf-signature").split("/", 2);
        if (KEYS.containsKey(lf[0])) {
            byte[] mac = mac("HmacSHA1", KEYS.get(lf[0]), body, bytes("1.0:HMAC-SHA1:" + millis));
            byte[] good = bytes(HexFormat.of().formatHex(mac));
            if (lf.length != 2 || !MessageDigest.isEqual(good, bytes(lf[1]))) {
                throw new GeneralSecurityException("x-lf-signature is wrong");
            }
        }

        long now = System.currentTimeMillis();
        for (long at : new long[] {Long.parseLong(seconds) * 1000, Long.parseLong(millis)}) {
            if (Math.abs(now - at) > TOLERANCE_MS) {
                throw new GeneralSecurityException("signed too long ago, or in the future");
            }
        }
    }

    static String header(HttpExchange exchange, String name) throws GeneralSecurityException {
        var values = exchange.getRequestHeaders().get(name);
        if (values == null || values.size() != 1) {
            throw new GeneralSecurityException(name + " is not there once");
        }
        return values.get(0);
    }

    static byte[] mac(String algorithm, byte[] key, byte[]... parts)
            throws GeneralSecurityException {
        Mac mac = Mac.getInstance(algorithm);
        mac.init(new SecretKeySpec(key, algorithm));
        for (byte[] part : parts) {
            mac.update(part);
        }
        return mac.doFinal();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
