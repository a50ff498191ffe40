// Keeps a table of invoices by key: node table.js [KAFKA [REGISTRY [FILE]]]
//
// What is saved is what was read up to the positions that are committed after it: when the program is killed between the two, it
// reads some records once more, which changes nothing.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import avro from 'avsc'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy // which kafkajs can't read by itself

const [kafka = '127.0.0.1:9092', registry = 'http://127.0.0.1:8081', file = 'invoices.json'] = process.argv.slice(2)
const table = existsSync(file) ? JSON.parse(readFileSync(file)) : {}

// Decimals become texts with all their digits.
class Decimal extends avro.types.LogicalType {
  constructor(schema, options) {
    super(schema, options)
    this.scale = schema.scale ?? 0
  }
  _fromValue(bytes) {
    const unscaled = bytes.length ? BigInt.asIntN(bytes.length * 8, BigInt('0x' + bytes.toString('hex'))) : 0n
    return written(unscaled, this.scale)
  }
}

function written(unscaled, scale) {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  return (unscaled < 0n ? '-' : '') + digits.slice(0, digits.length - scale) + (scale ? '.' + digits.slice(-scale) : '')
}

// Each record is read with the schema that it was written with.
const types = new Map()
async function decode(data) {
  const id = data.readInt32BE(1)
  if (!types.has(id)) {
    const answer = await fetch(`${registry}/schemas/ids/${id}`)
    if (!answer.ok) throw new Error(`schema ${id}: ${answer.status}`)
    const { schema } = await answer.json()
    types.set(id, avro.Type.forSchema(JSON.parse(schema), { logicalTypes: { decimal: Decimal } }))
  }
  return types.get(id).fromBuffer(data.subarray(5))
}

// The key says whose a record is, coupa.op what happened.
async function apply({ key, value, headers }) {
  const { tenant, id } = await decode(key)
  const op = headers['coupa.op'].toString()
  if (op === 'delete') { // a tombstone: the value is null
    delete table[`${tenant}/${id}`]
  } else { // snapshot or upsert, which are the same to a table
    const { invoice_number, gross_total } = await decode(value)
    table[`${tenant}/${id}`] = { invoice_number, gross_total }
  }
}

// Replaces the file whole, so that it is never half written.
function save() {
  writeFileSync(file + '.new', JSON.stringify(table))
  renameSync(file + '.new', file)
}

function describe() {
  const amounts = Object.values(table).map(row => row.gross_total).filter(Boolean) // all of scale 9
  const total = amounts.reduce((sum, amount) => sum + BigInt(amount.replace('.', '')), 0n)
  return `${Object.keys(table).length} invoices, ${written(total, 9)} in total`
}

const consumer = new Kafka({ brokers: [kafka], logLevel: logLevel.ERROR }).consumer({ groupId: 'table-node', readUncommitted: false })
await consumer.connect()
await consumer.subscribe({ topics: ['coupa.invoices'], fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachBatch: async ({ batch, heartbeat }) => {
    for (const message of batch.messages) {
      await apply(message)
      await heartbeat()
    }
    save()
    const offset = (BigInt(batch.lastOffset()) + 1n).toString()
    await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }])
    console.log(describe())
  }
})
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await consumer.disconnect()
    process.exit(0)
  })
}
