"""The words that the sentence generator knows, by the role they play in a sentence.

All typed by hand for this project. A group is one string of words separated by spaces, so that
the lists stay readable; `quantkit.synthesis.inflection` makes plurals and verb forms of them.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    # Hand-typed lists repeat themselves now and then.
    return tuple(dict.fromkeys(text.split()))


COMMANDS = _words(
    "zero one two three four five six seven eight nine yes no up down left right on off stop go"
)
"""Digits and command words: frequent in every split, because users test with them first."""

PEOPLE = _words("""
man woman child boy girl gentleman lady father mother brother sister son daughter uncle aunt cousin
nephew niece grandfather grandmother husband wife widow friend neighbour stranger guest host
servant master mistress maid cook butler gardener coachman footman nurse governess teacher pupil
student scholar professor doctor surgeon lawyer judge clerk banker merchant trader farmer shepherd
miller baker butcher tailor weaver shoemaker carpenter mason painter sculptor poet writer author
actor singer dancer musician fiddler soldier sailor captain colonel major general sergeant officer
guard prisoner thief robber beggar pirate hunter fisherman traveller pilgrim priest bishop monk
preacher king queen prince princess duke duchess count baron knight squire lord ruler chief
governor minister senator president mayor citizen peasant labourer worker miner blacksmith driver
pilot engineer inventor chemist farmhand innkeeper landlord tenant orphan infant baby youth fellow
rascal hero giant witch wizard fairy ghost savage enemy rival partner companion leader messenger
spy detective constable policeman witness jury reader listener speaker visitor customer manager
secretary assistant boss player coach runner champion artist journalist editor printer philosopher
genius fool coward widower bride groom bachelor darling creature person
""")

ANIMALS = _words("""
dog cat horse cow sheep goat pig donkey mule ox lamb calf hen rooster duck goose turkey pigeon crow
raven eagle hawk owl sparrow robin swallow lark gull swan fox wolf bear deer stag rabbit hare
squirrel mouse rat hedgehog badger otter beaver lion tiger elephant camel monkey snake lizard frog
toad turtle fish trout salmon whale shark bee wasp butterfly spider ant fly beetle worm hound puppy
kitten pony colt stallion parrot peacock bull dragon beast bird insect
""")

THINGS = _words("""
book letter table chair bed lamp candle mirror window door gate wall roof floor ceiling stair
chimney stove kettle pot pan cup glass bottle plate dish bowl spoon fork knife basket box trunk
chest drawer shelf cupboard desk pen pencil page newspaper map picture portrait photograph frame
clock watch bell key lock chain rope string needle thread button coat cloak dress gown skirt shirt
collar sleeve glove hat bonnet cap shoe boot stocking scarf ribbon ring necklace crown jewel
diamond pearl coin purse pocket bag bundle parcel package sword spear shield gun pistol rifle
cannon arrow bow axe hammer saw nail spade plough wheel cart wagon carriage coach train engine ship
boat sail mast anchor oar raft bridge tower bench fence hedge tree branch leaf root flower rose
lily violet daisy seed berry apple pear plum cherry orange lemon peach nut acorn loaf cake pie
pudding egg sausage potato carrot onion cabbage stone rock pebble log stick torch flag drum trumpet
violin piano guitar flute song poem story novel chapter verse lesson question answer note message
telegram card ticket bill receipt contract document report paper machine instrument telescope
microscope computer telephone radio camera television bicycle car bus truck aeroplane rocket robot
screen keyboard battery wire switch cable pipe pump valve tool brush broom bucket towel blanket
pillow curtain carpet sheet mattress umbrella cane cigar toy doll ball kite puzzle game sandwich
pancake biscuit jar tin crate barrel sack tent ladder lantern whip saddle bridle statue vase fan
cradle coffin medal badge whistle compass stamp envelope calendar diary
""")

PLACES = _words("""
house home cottage castle palace mansion hut cabin inn tavern hotel shop market store bank church
chapel cathedral temple abbey school college university library museum theatre hospital prison
station harbour port dock bridge road street lane path avenue square corner garden orchard meadow
field farm barn stable yard mill forest wood valley hill mountain cliff cave island shore coast
beach river stream brook lake pond pool sea ocean bay desert plain marsh swamp moor heath village
town city county country kingdom empire province border camp fort fortress court office factory
kitchen parlour bedroom nursery hall chamber attic cellar staircase balcony porch terrace courtyard
tower dungeon gallery study churchyard graveyard tomb park playground restaurant airport studio
workshop laboratory classroom district neighbourhood suburb crossroads wilderness jungle glacier
volcano waterfall canyon summit ridge slope spring well fountain
""")

MASS = _words("""
water milk wine beer tea coffee bread butter cheese meat beef mutton bacon sugar salt pepper honey
flour rice corn wheat barley hay straw grass wool cotton silk linen leather gold silver copper iron
steel lead coal oil gas smoke steam ice snow rain dew frost mud sand dust clay ash fire light
darkness shade sunshine moonlight air wind thunder lightning fog mist money wealth furniture
clothing food fruit music poetry paint ink chalk glass timber powder tobacco medicine poison blood
""")

ABSTRACT = _words("""
love hatred anger fear hope joy sorrow grief pity mercy pride shame envy jealousy courage patience
kindness cruelty wisdom folly knowledge ignorance truth beauty justice liberty freedom peace war
honour glory fame fortune luck chance fate destiny duty virtue vice sin guilt innocence faith
religion philosophy science history art literature education experience memory imagination
curiosity ambition strength weakness health sickness poverty youth age death life birth marriage
friendship affection passion tenderness sympathy gratitude despair misery happiness delight
pleasure pain comfort silence solitude loneliness confusion excitement astonishment admiration
contempt suspicion doubt certainty confidence trust loyalty treason revenge violence progress
nature power authority influence reputation character temper spirit reason conscience common sense
attention conversation advice information evidence work labour trade business industry government
law order time eternity
""")

IDEAS = _words("""
thought idea opinion belief dream plan purpose promise secret mystery reason cause effect result
fact lie mistake error fault crime sin problem trouble difficulty danger accident disaster
adventure journey voyage battle quarrel dispute argument discussion speech word sentence phrase
name sound noise voice cry scream whisper laugh smile tear sigh glance look gesture step movement
habit custom manner rule principle method system theory experiment discovery invention example
model pattern shape form colour size weight number amount sum price cost debt profit loss gift
prize reward punishment blow wound scar fever disease cure remedy task job profession career
victory defeat attempt effort failure success event occasion moment hour day night week month year
century season morning evening afternoon summer winter autumn holiday birthday wedding funeral
feast dinner supper breakfast party dance ball concert play scene act part role feeling emotion
sensation impression wish desire need demand request order command proposal offer choice decision
judgment advantage condition circumstance situation position rank title race class group crowd
company society family nation tribe army fleet council committee meeting election tax vote riot
rebellion revolution distance direction surface edge centre beginning end origin detail element
quality quantity degree measure limit shadow ray spark flame storm wave cloud star moon sun planet
world shower breeze tide current echo signal sign mark proof clue trace rumour legend tale fable
joke riddle
""")

BODY = _words("""
head face eye ear nose mouth lip tooth tongue chin cheek forehead brow hair beard neck throat
shoulder arm elbow wrist hand finger thumb nail chest breast heart lung stomach back waist hip leg
knee ankle foot toe heel skin bone muscle nerve brain mind soul voice
""")

ADJECTIVES = _words("""
good bad great small large little big tiny huge vast enormous old young new ancient modern fresh
long short tall low high deep shallow wide broad narrow thick thin fat lean slender heavy light
strong weak hard soft rough smooth sharp dull blunt round square flat straight crooked steep hot
cold warm cool wet dry damp bright dark pale dim clear cloudy sunny stormy windy misty gloomy black
white red blue green yellow brown grey purple pink golden silver scarlet crimson rich poor cheap
dear costly precious rare common ordinary strange odd curious singular peculiar remarkable
wonderful marvellous splendid magnificent glorious beautiful pretty handsome lovely charming
graceful elegant delicate ugly plain hideous dreadful terrible horrible awful frightful fearful
gentle tender kind cruel fierce savage wild tame quiet noisy loud silent calm peaceful restless
busy idle lazy active quick swift rapid slow sudden gradual early late recent former future present
past happy merry cheerful glad joyful sad sorrowful miserable unhappy wretched melancholy lonely
angry furious jealous proud humble modest vain selfish generous noble honest faithful loyal false
wicked evil guilty innocent pure holy sacred wise clever intelligent learned foolish stupid silly
absurd ridiculous mad sane brave bold timid shy nervous anxious eager impatient patient stubborn
obstinate polite rude civil courteous grave serious solemn stern severe strict mild sweet bitter
sour salt delicious tasty hungry thirsty tired weary sleepy ill sick healthy lame blind deaf dumb
dead alive sober drunk safe dangerous certain doubtful possible impossible probable likely
necessary useful useless easy difficult simple complex perfect complete whole broken empty full
open public private secret hidden distant near remote foreign native royal popular famous
celebrated unknown familiar usual constant perpetual eternal brief temporary permanent mere entire
absolute immense infinite moderate excellent superior inferior equal similar different various
separate single double main chief principal important considerable sufficient scarce abundant
fertile barren rural urban national local social political moral mental physical natural artificial
human divine mortal romantic practical domestic commercial military naval electric mechanical
digital automatic scientific wooden stony dusty muddy sandy leafy grassy rocky snowy icy rainy
foggy dirty clean neat tidy ragged shabby worn rusty polished shining gleaming trembling weeping
smiling sleeping wandering forgotten beloved deserted ruined faded frozen wounded weathered crowded
haunted enchanted
""")

PREDICATES = _words("""
afraid alone ashamed asleep awake aware ready sorry sure content gone mistaken pleased surprised
delighted astonished alarmed offended satisfied disappointed determined resolved accustomed
exhausted puzzled amused frightened excited worried grateful willing unwilling able unable
""")

ADVERBS = _words("""
slowly quickly suddenly quietly silently softly gently loudly clearly plainly boldly bravely
eagerly gladly sadly angrily bitterly calmly carefully carelessly cautiously cheerfully coldly
warmly kindly cruelly deeply earnestly easily faintly faithfully fiercely firmly foolishly freely
gaily gravely gracefully happily hastily heartily heavily honestly humbly immediately impatiently
instantly joyfully lightly merrily nervously openly patiently perfectly politely proudly rapidly
readily reluctantly secretly seriously sharply shyly simply sincerely solemnly sternly steadily
strangely swiftly tenderly thoughtfully vainly violently wildly willingly wisely wonderfully
anxiously awkwardly briefly brightly closely desperately directly distinctly drily dreamily feebly
furiously gratefully greedily helplessly hopefully innocently lazily mournfully
""")

DEGREES = _words("""
very rather quite so too extremely exceedingly somewhat almost perfectly altogether really truly
hardly scarcely terribly particularly unusually
""")

TIMES = (
    "yesterday", "today", "tomorrow", "now", "then", "soon", "already", "at once", "at last",
    "at first", "after a while", "before long", "in the morning", "in the evening", "at night",
    "every day", "once a week", "last year", "next summer", "the other day", "long ago",
    "that night", "this afternoon", "all day long", "for many years", "for a moment",
    "from time to time", "in those days", "on monday", "on tuesday", "on wednesday", "on thursday",
    "on friday", "on saturday", "on sunday", "in january", "in february", "in march", "in april",
    "in may", "in june", "in july", "in august", "in september", "in october", "in november",
    "in december", "at midnight", "at noon", "at dawn", "before sunset", "after dinner",
    "by degrees", "to this day", "within the hour", "the following morning", "towards evening",
    "upon the third day", "again", "sometimes", "often", "never again", "once more", "tonight",
    "two years later", "until spring",
)  # fmt: skip

OPENERS = (
    "however", "therefore", "indeed", "perhaps", "of course", "in fact", "for my part", "alas",
    "well", "yes", "no", "oh", "after all", "in short", "on the contrary", "besides", "moreover",
    "nevertheless", "meanwhile", "in the meantime", "to be sure", "at any rate", "in truth",
    "as for me", "believe me", "i assure you", "so far as i know", "to my surprise", "fortunately",
    "unfortunately", "naturally", "certainly", "undoubtedly", "apparently", "by the way", "still",
    "my dear sir", "my dear madam", "good heavens", "i beg your pardon", "if you please", "thus",
)  # fmt: skip

MEN = _words("""
john james william george henry charles thomas robert edward arthur richard peter paul david andrew
philip francis walter albert alfred frederick harry jack tom dick will sam joseph samuel daniel
benjamin matthew mark luke simon stephen martin hugh ralph oliver roger godfrey edmund ernest
leonard lawrence herbert gilbert nicholas alexander michael patrick christopher anthony adam noah
isaac jacob joshua victor louis maurice bernard felix oscar julian kevin brian jason
""")

WOMEN = _words("""
mary anne jane elizabeth catherine margaret alice emma emily charlotte harriet sarah martha ruth
rachel rebecca helen eleanor dorothy florence grace rose lily lucy laura julia isabel agnes
beatrice bertha clara edith ethel fanny flora frances gertrude hannah ida kate louisa mabel maria
marian mildred nancy nora olive phoebe sophia susan sylvia theresa victoria virginia winifred
amelia amy barbara caroline diana esther jennifer jessica karen linda lisa michelle sandra
""")

SURNAMES = _words("""
smith brown jones wilson taylor clark lewis walker hall allen young wright hill scott green adams
baker nelson carter mitchell roberts turner phillips campbell parker evans edwards collins stewart
morris rogers reed cook morgan bell murphy bailey cooper richardson cox howard ward peterson gray
watson brooks kelly sanders price bennett wood barnes ross henderson coleman jenkins perry powell
long patterson hughes washington butler simmons foster bryant alexander russell griffin hayes
marlowe thornton ashford pembroke fairfax winslow harding barlow whitfield lockwood crawley
""")

NAMED_PLACES = (
    *_words("""
london paris rome england france italy spain germany scotland ireland wales america africa asia
europe india china japan russia egypt greece turkey persia canada australia mexico brazil norway
sweden denmark holland belgium austria boston chicago virginia california texas florida oxford
cambridge bristol york edinburgh dublin liverpool manchester berlin vienna venice florence naples
athens jerusalem cairo moscow lisbon madrid geneva philadelphia washington baltimore kentucky
"""),
    "new york", "new england", "new orleans", "san francisco", "the thames",
    "the nile", "the rhine", "the north sea", "the west indies",
    "the south", "the east", "the far north", "the alps",
)  # fmt: skip

RELATIONS = _words("""
in on at under over behind beside near by through across along around above below beyond beneath
against towards into upon from past inside outside opposite before after within among
""")

CONJUNCTIONS = _words("and but for so yet because although though while when until unless since if")

DETERMINERS = (
    "the", "the", "the", "the", "the", "a", "a", "a", "this", "that", "my", "his", "her", "our",
    "your", "their", "every", "each", "another", "some", "any", "no", "one", "that same", "such a",
    "the other", "the very", "the first", "the second", "the last", "the next", "the only",
)  # fmt: skip

PLURAL_DETERMINERS = (
    "the", "the", "the", "these", "those", "my", "his", "her", "our", "your", "their", "some",
    "many", "few", "several", "all", "all the", "both", "such", "no", "a few", "most", "other",
)  # fmt: skip

# Verb groups: what may follow the verb decides the group.
GO = _words("""
walk run ride march travel wander hurry rush climb crawl creep slip fall jump leap fly sail swim
drive return turn go come pass move step stroll stagger gallop glide slide drift float sink rise
retire withdraw flee escape hasten proceed advance retreat journey roam roll bounce dart
""")

STAY = _words("""
sit stand lie sleep wait rest stay remain live dwell work play sing dance dream weep cry laugh
smile sigh tremble shiver suffer starve die wake pause hesitate linger listen look stare gaze
labour pray kneel stoop lean breathe cough sneeze bow nod blush frown grin shout scream whistle hum
murmur mutter gamble quarrel fight swear succeed fail hide appear vanish arrive
""")

ACT = _words("""
see hear find lose take bring carry hold keep leave give lend sell buy steal make build break mend
cut burn throw catch drop lift push pull drag open close shut lock fill empty wash clean paint draw
write read copy print hide show offer receive accept refuse return send fetch choose collect gather
count measure weigh examine study watch observe notice discover touch kiss strike kick shake turn
move raise lower fasten bind tie hang cover wrap fold press squeeze tear split crush destroy ruin
spoil waste save spare preserve protect guard defend attack seize grasp capture follow lead guide
meet join visit enter reach pass cross approach avoid escape want need like love hate fear admire
respect despise pity envy trust remember forget recall describe mention praise blame curse bless
admit deny prove explain expect desire demand obtain earn win share divide taste eat drink smell
cook bake roast serve plant water pluck grind sweep polish sharpen load fire aim repair design
invent improve change replace remove add use try test prepare arrange order
""")

AFFECT = _words("""
please surprise amuse frighten alarm astonish delight disappoint offend insult annoy trouble
disturb comfort console encourage persuade convince advise warn help thank greet welcome invite
entertain question answer obey serve marry betray deceive cheat rob punish forgive pardon scold
beat kill murder wound hurt heal cure nurse teach train educate raise adopt support command govern
rule conquer defeat arrest release rescue save follow chase pursue recognise remember forget miss
meet visit embrace kiss call summon dismiss employ hire pay reward accuse suspect judge condemn
interrupt tease flatter imitate envy pity admire adore worship love hate trust know understand
""")

SAY = _words("""
say think believe know suppose imagine fancy hope fear doubt wish declare swear confess admit deny
insist maintain observe remark reply answer explain add announce whisper promise complain suggest
understand see hear feel find discover remember forget notice dream guess assume conclude suspect
expect perceive reflect consider
""")

TRY = _words("""
try want wish hope begin start continue intend mean plan decide resolve determine refuse agree
consent promise offer threaten attempt learn expect desire need seem happen long hesitate fail
manage prefer like love hate dare forget choose
""")

MODALS = (
    "will", "would", "shall", "should", "can", "could", "may", "might", "must", "cannot",
    "will not", "would not", "could not", "should not", "must not", "did not", "does not",
    "ought to", "used to", "had to", "won't", "can't", "couldn't", "wouldn't", "didn't",
    "shouldn't", "never did",
)  # fmt: skip

NUMBERS = _words("""
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
""")
