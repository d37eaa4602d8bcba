// spymemcached: the text and the binary protocol, SASL PLAIN, the login of the text protocol.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.ConnectionFactoryBuilder.Protocol;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;

public class Spy {
    static void show(String what, Callable<Object> action) {
        Object result;
        try {
            result = action.call();
            if (result instanceof String && ((String) result).length() > 100) {
                result = ((String) result).length() + " characters";
            }
        } catch (ExecutionException error) {
            result = "error " + error.getCause().getClass().getSimpleName();
        } catch (Exception error) {
            result = "error " + error.getClass().getSimpleName();
        }
        System.out.println(what + ": " + result);
    }

    static ConnectionFactoryBuilder builder(Protocol protocol) {
        return new ConnectionFactoryBuilder().setProtocol(protocol).setOpTimeout(20000).setMaxReconnectDelay(1);
    }

    /** With `all`, also what has this library connect anew: then it is nobody again, and says nothing of itself. */
    static void operations(MemcachedClient client, boolean all) throws Exception {
        show("flush", () -> client.flush().get());
        show("set", () -> client.set("k", 0, "v").get());
        show("get", () -> client.get("k"));
        show("get nothing", () -> client.get("none"));
        show("add", () -> client.add("k", 0, "w").get());
        show("add new", () -> client.add("new", 0, "w").get());
        show("replace", () -> client.replace("k", 0, "x").get());
        show("replace nothing", () -> client.replace("none", 0, "x").get());
        show("append", () -> client.append("k", "yz").get());
        show("prepend", () -> client.prepend("k", "w").get());
        show("append to nothing", () -> client.append("none", "yz").get());
        show("get", () -> client.get("k"));
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < 310; i++) {
            keys.add("many" + i);
            if (i < 300) {
                client.set("many" + i, 0, "value " + i).get();
            }
        }
        Map<String, Object> many = client.getBulk(keys);
        int right = 0;
        for (int i = 0; i < 300; i++) {
            right += ("value " + i).equals(many.get("many" + i)) ? 1 : 0;
        }
        int found = right;
        show("multi-get", () -> found + " of " + many.size());
        CASValue<Object> token = client.gets("k");
        show("gets", () -> token.getValue());
        show("cas", () -> client.cas("k", token.getCas(), "by cas"));
        show("cas again", () -> client.cas("k", token.getCas(), "too late"));
        show("cas nothing", () -> client.cas("none", token.getCas(), "x"));
        show("incr nothing", () -> client.incr("count", 1));
        show("incr with a start", () -> client.incr("count", 1, 10));
        show("incr", () -> client.incr("count", 5));
        show("decr", () -> client.decr("count", 100));
        if (all) {
            show("incr text", () -> client.incr("k", 1));
        }
        show("touch", () -> client.touch("k", 100).get());
        show("touch nothing", () -> client.touch("none", 100).get());
        show("get and touch", () -> client.getAndTouch("k", 100).getValue());
        show("set expired", () -> client.set("over", -1, "v").get());
        show("get expired", () -> client.get("over"));
        StringBuilder large = new StringBuilder();
        java.util.Random random = new java.util.Random(1);
        for (int i = 0; i < 300_000; i++) {
            large.append((char) ('0' + random.nextInt(75)));
        }
        show("large", () -> client.set("large", 0, large.toString()).get());
        show("get large", () -> large.toString().equals(client.get("large")));
        show("delete", () -> client.delete("k").get());
        show("delete nothing", () -> client.delete("k").get());
        show("versions", () -> client.getVersions().values().iterator().next().startsWith("1.6."));
        show("stats", () -> client.getStats().values().iterator().next().containsKey("curr_items"));
    }

    static void reconnect(MemcachedClient client) throws Exception {
        show("set", () -> client.set("k", 0, "v").get());
        System.out.println("restart");
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        boolean served = false;
        for (int tries = 0; tries < 300 && !served; tries++) {
            try {
                served = client.set("after", 0, "v").get(1, TimeUnit.SECONDS);
            } catch (Exception again) {
                Thread.sleep(100);
            }
        }
        System.out.println(served ? "served again" : "not served again");
        show("get after", () -> client.get("after"));
    }

    static void login(List<InetSocketAddress> at) throws Exception {
        String user = System.getenv("CLIENT_USER");
        String password = System.getenv("CLIENT_PASSWORD");
        String[][] all = {{"right", user, password}, {"wrong", user, "wrong"}, {"wrong user", "nobody", password}};
        for (String[] one : all) {
            AuthDescriptor plain =
                    new AuthDescriptor(new String[] {"PLAIN"}, new PlainCallbackHandler(one[1], one[2]));
            ConnectionFactoryBuilder builder = builder(Protocol.BINARY).setAuthDescriptor(plain);
            if (one[0].equals("right")) {
                MemcachedClient client = new MemcachedClient(builder.build(), at);
                operations(client, true);
                client.shutdown();
            } else {
                stranger(one[0], new MemcachedClient(builder.setOpTimeout(2000).build(), at));
            }
        }
        stranger("none", new MemcachedClient(builder(Protocol.BINARY).setOpTimeout(2000).build(), at));
    }

    /** The text protocol's login is a set, the first thing on a connection. */
    static void loginText(List<InetSocketAddress> at) throws Exception {
        String user = System.getenv("CLIENT_USER");
        String password = System.getenv("CLIENT_PASSWORD");
        MemcachedClient known = new MemcachedClient(builder(Protocol.TEXT).build(), at);
        show("right: login", () -> known.set("auth", 0, user + " " + password).get());
        operations(known, false);
        known.shutdown();
        for (String says : new String[] {user + " wrong", "nobody " + password}) {
            String which = says.endsWith(" wrong") ? "wrong" : "wrong user";
            MemcachedClient client = new MemcachedClient(builder(Protocol.TEXT).setOpTimeout(2000).build(), at);
            show(which + ": login", () -> client.set("auth", 0, says).get(2, TimeUnit.SECONDS));
            stranger(which, client);
        }
        stranger("none", new MemcachedClient(builder(Protocol.TEXT).setOpTimeout(2000).build(), at));
    }

    static void stranger(String which, MemcachedClient client) {
        show(which + ": set", () -> client.set("k", 0, "v").get(2, TimeUnit.SECONDS));
        show(which + ": get", () -> client.get("k"));
        client.shutdown();
    }

    public static void main(String[] arguments) throws Exception {
        Logger.getLogger("").setLevel(Level.OFF);
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        String scenario = arguments[0];
        List<InetSocketAddress> at = List.of(new InetSocketAddress(arguments[1], Integer.parseInt(arguments[2])));
        if (scenario.equals("login")) {
            login(at);
            System.exit(0);
        }
        if (scenario.equals("login-text")) {
            loginText(at);
            System.exit(0);
        }
        Protocol protocol = scenario.endsWith("binary") ? Protocol.BINARY : Protocol.TEXT;
        MemcachedClient client = new MemcachedClient(builder(protocol).build(), at);
        if (scenario.startsWith("operations")) {
            operations(client, true);
        } else {
            reconnect(client);
        }
        client.shutdown();
        System.exit(0);
    }
}
