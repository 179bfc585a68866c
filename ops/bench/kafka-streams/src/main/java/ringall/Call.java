package ringall;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;

/** The state of one open call: who won, and the legs that have not ended. */
final class Call {
    String winner;
    final List<Leg> legs = new ArrayList<>(6);

    static final class Leg {
        final String id;
        final long offeredMs;
        long answeredMs = -1;

        Leg(String id, long offeredMs) {
            this.id = id;
            this.offeredMs = offeredMs;
        }
    }

    Leg find(String id) {
        for (Leg leg : legs) {
            if (leg.id.equals(id)) {
                return leg;
            }
        }
        return null;
    }

    static final class Writer implements Serializer<Call> {
        private final ByteBuffer out = ByteBuffer.allocate(1 << 16);

        @Override
        public byte[] serialize(String topic, Call call) {
            if (call == null) {
                return null;
            }
            out.clear();
            put(call.winner);
            out.put((byte) call.legs.size());
            for (Leg leg : call.legs) {
                put(leg.id);
                out.putLong(leg.offeredMs).putLong(leg.answeredMs);
            }
            return Arrays.copyOf(out.array(), out.position());
        }

        private void put(String text) {
            byte[] bytes = text == null ? new byte[0] : text.getBytes(StandardCharsets.UTF_8);
            out.putShort((short) bytes.length).put(bytes);
        }
    }

    static final class Reader implements Deserializer<Call> {
        @Override
        public Call deserialize(String topic, byte[] bytes) {
            if (bytes == null) {
                return null;
            }
            ByteBuffer in = ByteBuffer.wrap(bytes);
            Call call = new Call();
            call.winner = take(in);
            for (int left = in.get(); left > 0; left--) {
                Leg leg = new Leg(take(in), in.getLong());
                leg.answeredMs = in.getLong();
                call.legs.add(leg);
            }
            return call;
        }

        private static String take(ByteBuffer in) {
            byte[] bytes = new byte[in.getShort()];
            in.get(bytes);
            return bytes.length == 0 ? null : new String(bytes, StandardCharsets.UTF_8);
        }
    }
}
