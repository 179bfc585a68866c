package ringall;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Groups legs by call, finds the winner, sends each leg on with its result when its full record has come. */
final class Verdicts implements Processor<byte[], LegEvent, byte[], byte[]> {
    static final String CALLS = "calls";
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], Call> calls;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        this.calls = context.getStateStore(CALLS);
    }

    @Override
    public void process(Record<byte[], LegEvent> record) {
        LegEvent event = record.value();
        if (event == null) {
            return;
        }
        switch (event.kind) {
            case "offered" -> offered(record.key(), event);
            case "answered" -> answered(record.key(), event);
            case "ended" -> {
                if (event.authority == 0) { // the notice before it says less
                    ended(record, event);
                }
            }
            default -> { }
        }
    }

    private void offered(byte[] key, LegEvent event) {
        Call call = calls.get(key);
        if (call == null) {
            call = new Call();
        }
        call.legs.add(new Call.Leg(event.legId, event.atMs));
        calls.put(key, call);
    }

    private void answered(byte[] key, LegEvent event) {
        Call call = calls.get(key);
        call.find(event.legId).answeredMs = event.atMs;
        if (call.winner == null && event.role.equals("agent")) {
            call.winner = event.legId;
        }
        calls.put(key, call);
    }

    private void ended(Record<byte[], LegEvent> record, LegEvent event) {
        Call call = calls.get(record.key());
        Call.Leg leg = call.find(event.legId);
        call.legs.remove(leg);
        context.forward(record.withValue(enriched(event, leg, call.winner)));
        if (call.legs.isEmpty()) {
            calls.delete(record.key());
        } else {
            calls.put(record.key(), call);
        }
    }

    private static String result(LegEvent event, Call.Leg leg, String winner) {
        if (leg.answeredMs >= 0) {
            return "Answered";
        }
        if (winner != null && event.role.equals("agent")) {
            return "Lose-race";
        }
        return switch (event.cause) {
            case "USER_BUSY" -> "Busy";
            case "ORIGINATOR_CANCEL", "NORMAL_CLEARING" -> "Cancel";
            case "NO_ANSWER" -> "Timeout";
            default -> "Failed";
        };
    }

    /** The event's own bytes with four more fields before the closing brace. */
    private static byte[] enriched(LegEvent event, Call.Leg leg, String winner) {
        String more = ",\"offered_ms\":" + leg.offeredMs
            + ",\"answered_ms\":" + (leg.answeredMs < 0 ? "null" : leg.answeredMs)
            + ",\"result\":\"" + result(event, leg, winner)
            + "\",\"winner\":" + (winner == null ? "null}" : '"' + winner + "\"}");
        byte[] tail = more.getBytes(StandardCharsets.UTF_8);
        int kept = event.raw.length - 1;
        byte[] whole = Arrays.copyOf(event.raw, kept + tail.length);
        System.arraycopy(tail, 0, whole, kept, tail.length);
        return whole;
    }
}
