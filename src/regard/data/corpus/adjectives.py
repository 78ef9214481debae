"""The adjectives of the corpus: ``english[/comparative] french[/feminine] kinds [marks]``.

The third column lists what an adjective can describe: capital letters are noun classes, lower-case words are single
nouns, joined by commas. Marks: ``before`` stands before the French noun (a form for masculine nouns that open with a
vowel may follow, ``before=bel``); ``colour`` is a colour or an origin, which English puts nearest to the noun, and
French right after it; ``fixed`` takes no degree (no "very French").
"""

ADJECTIVES = """
small/smaller petit P,A,O,T,F,L,V,C,N,E before
big/bigger grand A,O,L,V,N,F,C,K before
good bon/bonne P,A,T,F,M,D,K,E,L before
bad mauvais T,F,M,D,K,E before
beautiful beau/belle P,A,O,T,L,V,C,N,E,X before=bel
new/newer nouveau/nouvelle O,T,L,V,C,K,E,X before=nouvel
old/older vieux/vieille P,A,O,T,L,V,C,N before=vieil
young/younger jeune P,A before
pretty/prettier joli P,O,L,C,N,T before
long/longer long/longue T,E,street,bridge,river,beach,valley,branch,ladder,dress,skirt,coat,scarf,exercise before
high/higher *haut mountain,hill,tower,tree,wave,bridge,castle,rock,shelf,cupboard before
true vrai Y,story,reason,hero,friend before,fixed
happy/happier heureux P,A
sad/sadder triste P,A,T,film
tired fatigué P,A
intelligent intelligent P,A
rich/richer riche P,L
poor/poorer pauvre P,L
strong/stronger fort P,A
weak/weaker faible P,A
kind/kinder gentil/gentille P,A
honest honnête P
famous célèbre P,T,L
shy/shyer timide P,A
lazy/lazier paresseux P,A
brave/braver courageux P,A
curious curieux P,A
patient patient P,A
proud/prouder fier/fière P,A
jealous jaloux/jalouse P,A
generous généreux P
polite poli P
serious sérieux P,T,K
funny/funnier drôle P,T,K,E,A
strange/stranger étrange P,A,O,T,K,L,E
calm/calmer calme P,A,L
noisy/noisier bruyant A,L,V,P,machine,party
dangerous dangereux A,V,mountain,river,path,street,journey,game,adventure,idea
wild sauvage A,rose,island,valley
loyal loyal P,A
elegant élégant P,C,L,O
modern moderne L,V,O,X,T
comfortable confortable V,C,chair,bed,armchair,house,hotel,bedroom,office
expensive cher/chère O,C,V,F,house,hotel,restaurant
useful utile O,T,K,X,V
useless inutile O,K,T,E
broken cassé O,bicycle,branch fixed
clean/cleaner propre C,V,L,plate,glass,fork,knife,spoon,cup,table,window
dirty/dirtier sale C,V,L,A,plate,glass,cup,window,river
empty vide glass,bottle,cup,box,bag,basket,suitcase,street,house,train,bus,L
heavy/heavier lourd O,coat,boot,stone,branch,truck
light/lighter léger/légère coat,jacket,scarf,suitcase,bag,bicycle,chair,dress,meat,soup,salad,wine
soft/softer doux/douce scarf,bed,glove,cat,rabbit,armchair,coat,jacket,shirt,skirt,dress,hat,cap
hot/hotter chaud M,D,F fixed
cold/colder froid M,D,F,lake,river,bedroom fixed
fresh/fresher frais/fraîche F,M,D fixed
delicious délicieux F,M,D
sweet/sweeter sucré F,D,jam
ripe/riper mûr apple,pear,orange,banana,cherry,strawberry,tomato,peach,lemon
round/rounder rond O,table,mirror,box,plate,hill,stone,tower fixed
black/blacker noir C,V,A,O,N colour
white/whiter blanc/blanche C,V,A,O,N colour
red/redder rouge C,V,O,N,F colour
blue/bluer bleu C,V,O,N,A colour
green/greener vert C,V,O,F,N colour
yellow/yellower jaune C,V,O,F,N colour
grey/greyer gris C,V,A,O,N colour
pink/pinker rose C,O,flower,cloud,house colour
French français P,T,X,C,V,M,wine,L colour,fixed
English anglais P,T,X,C,V,garden colour,fixed
German allemand P,T,X,V,beer,machine colour,fixed
Italian italien P,T,X,C,V,M,L colour,fixed
Spanish espagnol P,T,X,M,L colour,fixed
Japanese japonais P,T,X,M,V,garden colour,fixed
deep/deeper profond X,Y,idea,question,reason,secret,theory,conversation,river,lake,valley,forest
slow/slower lent V,A,learning,reading,writing,research,translation,music,teaching
fast/faster rapide V,A,learning,reading,writing,research,translation,teaching,machine,computer
difficult difficile T,K,X,E
easy/easier facile T,K,learning,reading,translation,cooking,grammar,game,lesson
important important K,X,Y,T,E
interesting intéressant T,K,X,L,E
boring ennuyeux T,E,P
simple/simpler simple K,T,X,O,C
complex complexe K,T,X
necessary nécessaire X,Y,K,O
free/freer libre P,A,learning,education,art,poetry,research,teaching,imagination
pure/purer pur Y,water,music,poetry,science,logic,art
perfect parfait K,F,Y,E fixed
rare/rarer rare A,O,T,Y,N
precious précieux O,Y,T,N
eternal éternel Y,N fixed
human humain X,Y,mistake fixed
personal personnel K,O,T,solitude,happiness,learning fixed
public public/publique L,education,research,debate,meeting,opinion,teaching fixed
traditional traditionnel X,C,E,F,M
classical classique X,T,concert,architecture,beauty fixed
popular populaire X,T,E,L,P
practical pratique K,O,V,learning,teaching,knowledge,intelligence
theoretical théorique physics,chemistry,research,science,K,learning,teaching,knowledge fixed
scientific scientifique T,K,research,education,truth,curiosity,E fixed
social/- social learning,justice,peace,problem,project,K,intelligence,science fixed
ideal/- idéal P,L,E,K,solution,beauty fixed
active actif/active P,A,learning,teaching,research,imagination
creative créatif P,X,imagination,intelligence
mysterious mystérieux P,A,L,O,T,N
terrible terrible E,K,T,solitude,silence,sadness
"""
